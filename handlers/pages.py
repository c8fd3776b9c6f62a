"""The pages, and the files that they load."""

from pathlib import Path, PurePath

from tornado import web

from handlers.assets.bundle import Bundler
from handlers.assets.content import TYPES, Content, Contents
from handlers.base.compression import takes_gzip
from handlers.base.context import HandlerContext
from handlers.base.handler import BaseHandler

# Pages load nothing from elsewhere, connect to nobody else and run no inline script, whatever they
# are made to show. 'self' is a WebSocket of the same host and port too (CSP Level 3, 6.7.2.8).
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
ASK_EACH_TIME = "no-cache"
FOREVER = "public, max-age=31536000, immutable"
"""For what has its contents in its name (RFC 8246)."""


class _ContentHandler(BaseHandler):
    """Answers with a file in memory."""

    def give(self, content: Content, cache_control: str) -> None:
        """Answer with a file, compressed where the client takes that; 304 where it has it."""
        packs = takes_gzip(self.request.headers.get("Accept-Encoding"))
        body, tag, is_packed = content.form(gzip=packs)
        self.set_header("Content-Type", content.media_type)
        self.set_header("Cache-Control", cache_control)
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.set_header("Vary", "Accept-Encoding")
        self.set_header("ETag", tag)
        if self.check_etag_header():
            self.set_status(304)
            self.finish()
            return
        if is_packed:
            self.set_header("Content-Encoding", "gzip")
        self.finish(body)

    def compute_etag(self) -> str | None:
        """Set already."""
        tag: str | None = self._headers.get("ETag")
        return tag


class PageHandler(_ContentHandler):
    """One HTML file."""

    def initialize(  # type: ignore[override]
        self, context: HandlerContext, path: Path, contents: Contents, bundler: Bundler
    ) -> None:
        """Take the file's path, and what is made of the scripts that it loads."""
        super().initialize(context)
        self._path = path
        self._contents = contents
        self._bundler = bundler

    async def get(self) -> None:
        """Answer with the page; browsers ask again each time whether it has changed."""
        bundle = await self._bundler.get()
        made = None if bundle is None else bundle.pages.get(self._path.name)
        self.give(made or self._contents.get(self._path), ASK_EACH_TIME)


class BundleHandler(_ContentHandler):
    """What was made of a page's scripts and styles."""

    def initialize(self, context: HandlerContext, bundler: Bundler) -> None:  # type: ignore[override]
        """Take what makes it."""
        super().initialize(context)
        self._bundler = bundler

    async def get(self, name: str) -> None:
        """Answer with a file that never changes.

        While workers are replaced by newer ones a page may come from one of either: whose contents
        are not here gets those of today, which are not to be kept under that name.

        Raises:
            web.HTTPError: 404, there is none.
        """
        bundle = await self._bundler.latest()
        if bundle is None:
            raise web.HTTPError(404)
        content = bundle.files.get(name)
        if content is not None:
            self.give(content, FOREVER)
            return
        newest = bundle.newest(name)
        if newest is None:
            raise web.HTTPError(404)
        self.give(newest, "no-store")


class AssetHandler(web.StaticFileHandler, _ContentHandler):
    """Scripts, styles and pictures."""

    def initialize(  # type: ignore[override]
        self, context: HandlerContext, path: str, contents: Contents
    ) -> None:
        """Take the folder's path."""
        BaseHandler.initialize(self, context)
        web.StaticFileHandler.initialize(self, path)
        self._contents = contents

    async def get(self, path: str, include_body: bool = True) -> None:
        """Answer with a file: text from memory, compressed; others as Tornado does.

        Raises:
            web.HTTPError: 404, there is none; 403, it is not to be had.
        """
        if PurePath(path).suffix not in TYPES:
            await super().get(path, include_body)
            return
        self.path = self.parse_url_path(path)
        absolute = self.get_absolute_path(self.root, self.path)
        checked = self.validate_absolute_path(self.root, absolute)
        if checked is not None:
            # Browsers check by ETag: a new release must not run with old modules.
            self.give(self._contents.get(Path(checked)), ASK_EACH_TIME)

    def compute_etag(self) -> str | None:
        """As it was set, where the file is answered from memory."""
        return _ContentHandler.compute_etag(self) or web.StaticFileHandler.compute_etag(self)

    def parse_url_path(self, url_path: str) -> str:
        """The file's path; no file system takes one with a NUL, and `os.path` raises for it.

        Raises:
            web.HTTPError: 404, there can be no such file.
        """
        if "\0" in url_path:
            raise web.HTTPError(404)
        return super().parse_url_path(url_path)

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - Tornado's signature
        """The pages are among the files, by their own names: they have no fewer guards there."""
        self.set_header("Cache-Control", ASK_EACH_TIME)
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
