"""sockjs-tornado 1.0.7, which nobody maintains: the one place where it is imported.

Its addresses, static answers and the flow of a request through its transports are used as they are.
What is wrong in it for Tornado 6.6, and for a server that strangers reach, is replaced by the other
modules of this package; each says what that was.
"""

import warnings

with warnings.catch_warnings():
    # Decorated by what Tornado has deprecated, which the library brings itself.
    warnings.simplefilter("ignore")
    from sockjs.tornado import SockJSConnection, SockJSRouter, static, transports
    from sockjs.tornado.session import CLOSED, OPEN, BaseSession
    from sockjs.tornado.transports.htmlfile import HTMLFILE_HEAD

__all__ = [
    "CLOSED",
    "HTMLFILE_HEAD",
    "OPEN",
    "BaseSession",
    "SockJSConnection",
    "SockJSRouter",
    "static",
    "transports",
]
