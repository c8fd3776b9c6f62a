"""`/info`, the page of the iframe, and the endpoint's own address.

The library's `/info` has entropy that can be guessed, and that is larger than sockjs-client's
arithmetic can take.
"""

import json
import secrets

from handlers.sockjs.library import static
from handlers.sockjs.request import CorrectedHandler


class Info(CorrectedHandler, static.InfoHandler):  # type: ignore[misc]
    """`/info`."""

    def get(self) -> None:
        """Say what the endpoint can do."""
        self.preflight()
        self.disable_cache()
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.finish(
            json.dumps(
                {
                    "websocket": self.server.websockets_enabled,
                    "cookie_needed": self.server.cookie_needed,
                    "origins": ["*:*"],
                    "entropy": secrets.randbits(32),
                }
            )
        )


IFRAME_PAGE = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="{script}"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>
"""


class IFrame(CorrectedHandler, static.IFrameHandler):  # type: ignore[misc]
    """`/iframe*.html`: the page as SockJS prescribes it. Tornado adds the ETag."""

    def get(self) -> None:
        """Answer with the page."""
        self.enable_cache()
        self.frame_ancestors()
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.finish(IFRAME_PAGE.format(script=self.server.settings["sockjs_url"]))


class Greeting(CorrectedHandler, static.GreetingsHandler):  # type: ignore[misc]
    """The endpoint's own address."""
