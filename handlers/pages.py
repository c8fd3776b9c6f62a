"""The pages, and the files that they load."""

from tornado import web

from handlers.base.context import HandlerContext
from handlers.base.handler import BaseHandler

# Pages load nothing from elsewhere, connect to nobody else and run no inline script, whatever they
# are made to show. 'self' is a WebSocket of the same host and port too (CSP Level 3, 6.7.2.8).
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)


class PageHandler(BaseHandler):
    """One HTML file."""

    def initialize(self, context: HandlerContext, path: str) -> None:  # type: ignore[override]
        """Take the file's path."""
        super().initialize(context)
        self._path = path

    def get(self) -> None:
        """Answer with the page; browsers ask again each time whether it has changed."""
        with open(self._path, "rb") as file:  # noqa: PTH123 - a small local file
            body = file.read()
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.finish(body)


class AssetHandler(web.StaticFileHandler, BaseHandler):
    """Scripts, styles and pictures."""

    def initialize(self, context: HandlerContext, path: str) -> None:  # type: ignore[override]
        """Take the folder's path."""
        BaseHandler.initialize(self, context)
        web.StaticFileHandler.initialize(self, path)

    def parse_url_path(self, url_path: str) -> str:
        """The file's path; no file system takes one with a NUL, and `os.path` raises for it.

        Raises:
            web.HTTPError: 404, there can be no such file.
        """
        if "\0" in url_path:
            raise web.HTTPError(404)
        return super().parse_url_path(url_path)

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - Tornado's signature
        """Browsers check by ETag: a new release must not run with old modules.

        The pages are among the files, by their own names: they have no fewer guards there.
        """
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
