"""Other people's libraries that pages load: which of their files, and where npm puts these."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vendored:
    """Files of a package of npm.

    Attributes:
        package: its name.
        folder: that the files are in, within the package's.
        files: a regular expression for their paths from there.
        prefix: of their addresses, after `/static/vendor/`.
    """

    package: str
    folder: str
    files: str
    prefix: str = ""


VENDORED = (
    Vendored("sockjs-client", "dist", r"sockjs\.min\.js"),
    Vendored("markdown-it", "dist/browser", r"markdown-it\.esm\.min\.mjs"),
    Vendored("dompurify", "dist", r"purify\.min\.js"),
    Vendored("diff", "libesm", r"(?:diff|util)/\w+\.js", "diff/"),
)
