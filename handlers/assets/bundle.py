"""A page's scripts and styles put together by esbuild, under names that tell their contents.

A page is some eighty modules, which a browser asks for one after the other as it finds them. Where
npm has installed esbuild the worker puts them together when the page is first asked for, and again
where a source has changed. A package has what was made when it was built (`prebuilt.py`). Where
there is neither, or esbuild fails, pages load the modules as they are.
"""

import asyncio
import json
import math
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import structlog

from handlers.assets.content import Content

BUILT = "/static/built/"
BUNDLED = ("index.html", "admin.html")
"""The pages that are put together."""
TIMEOUT_S = 30
LOOK_INTERVAL_S = 1.0
"""A look at a hundred sources takes a millisecond, which is most of what a page costs."""
MAX_SAID_CHARS = 2000
_STYLES = re.compile(r'^ *<link rel="stylesheet" href="/static/([^"]+)" />\n', re.MULTILINE)
_SCRIPT = re.compile(r'^ *<script type="module" src="/static/([^"]+)"></script>\n', re.MULTILINE)
_SOURCES = ("*.css", "*.html", "app/**/*.js", "admin/**/*.js", "client/**/*.js")
_log = structlog.get_logger(__name__)


class BundleError(Exception):
    """The tool did not do its work; what it said is the message."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was made of the sources.

    Attributes:
        pages: by the name of the page's file, the page that loads what was made.
        files: what was made, by name.
    """

    pages: Mapping[str, Content]
    files: Mapping[str, Content]

    def newest(self, name: str) -> Content | None:
        """A file that other contents than today's were asked of: what its page loads now."""
        stem, _, rest = name.partition("-")
        suffix = PurePath(rest).suffix
        alike = (known for known in self.files if known.startswith(f"{stem}-"))
        found = [known for known in alike if PurePath(known).suffix == suffix and stem != "chunk"]
        return self.files[found[0]] if found else None


def find_tool(modules: Path) -> Path | None:
    """The esbuild that npm has put there for this machine; None where there is none."""
    return next(iter(sorted(modules.glob("@esbuild/*/bin/esbuild"))), None)


class Bundler:
    """Makes the bundle when it is asked for, once for all who ask."""

    def __init__(
        self,
        static_dir: Path,
        pages: Iterable[str],
        tool: Path | None,
        *,
        otherwise: Bundle | None = None,
        look_interval_s: float = LOOK_INTERVAL_S,
    ) -> None:
        """Make nothing yet.

        Args:
            static_dir: the sources.
            pages: the names of the pages' files in it.
            tool: the esbuild to use; None: nothing is made.
            otherwise: the bundle where nothing is made.
            look_interval_s: how often at most to look whether a source has changed.
        """
        self._static_dir = static_dir
        self._pages = tuple(pages)
        self._tool = tool
        self._otherwise = otherwise
        self._look_interval_s = look_interval_s
        self._looked_s = -math.inf
        self._made: tuple[object, Bundle | None] | None = None
        self._lock = asyncio.Lock()

    async def latest(self) -> Bundle | None:
        """What was made last, whether the sources have changed since or not."""
        return await self.get() if self._made is None else self._made[1]

    async def get(self) -> Bundle | None:
        """The bundle of the sources as they are; None where there is none."""
        if self._tool is None:
            return self._otherwise
        now_s = time.monotonic()
        if self._made is not None and now_s - self._looked_s < self._look_interval_s:
            return self._made[1]
        state = self._state()
        self._looked_s = now_s
        if self._made is not None and self._made[0] == state:
            return self._made[1]
        async with self._lock:
            if self._made is None or self._made[0] != state:
                self._made = state, await self._try_to_make()
            return self._made[1]

    def _state(self) -> object:
        """What changes with any of the sources."""
        found = (path.stat() for kind in _SOURCES for path in self._static_dir.glob(kind))
        return [(one.st_ino, one.st_mtime_ns, one.st_size) for one in found]

    async def _try_to_make(self) -> Bundle | None:
        try:
            return await self._make()
        except (BundleError, OSError, TimeoutError, ValueError, KeyError) as error:
            _log.warning("pages_not_bundled", error=str(error)[:MAX_SAID_CHARS])
            return None

    async def _make(self) -> Bundle:
        with tempfile.TemporaryDirectory(prefix="rtserver-pages-") as place:
            folder = Path(place)
            texts = {page: (self._static_dir / page).read_text("utf-8") for page in self._pages}
            entries = [
                entry for page, text in texts.items() for entry in self._entries(folder, page, text)
            ]
            await self._run(folder, entries)
            # To compress all of it takes longer than what else the worker does may wait.
            return await asyncio.to_thread(_collected, folder, texts)

    def _entries(self, folder: Path, page: str, text: str) -> list[Path]:
        """Write what a page begins with: its script, and its styles in their order."""
        stem = PurePath(page).stem
        parts = {
            ".js": [f"import {json.dumps(self._source(name))};" for name in _SCRIPT.findall(text)],
            ".css": [
                f"@import {json.dumps(self._source(name))};" for name in _STYLES.findall(text)
            ],
        }
        entries = []
        for suffix, lines in parts.items():
            if lines:
                entries.append(folder / f"{stem}{suffix}")
                entries[-1].write_text("\n".join(lines), encoding="utf-8")
        return entries

    def _source(self, name: str) -> str:
        return str((self._static_dir / name).resolve())

    async def _run(self, folder: Path, entries: list[Path]) -> None:
        process = await asyncio.create_subprocess_exec(
            str(self._tool),
            *map(str, entries),
            *("--bundle", "--minify", "--splitting", "--format=esm", "--target=es2022"),
            *("--external:/static/*", "--entry-names=[name]-[hash]", "--chunk-names=chunk-[hash]"),
            *(f"--outdir={folder / 'out'}", f"--metafile={folder / 'meta.json'}"),
            "--log-level=warning",
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise BundleError(said.decode("utf-8", "replace"))


def _collected(folder: Path, texts: Mapping[str, str]) -> Bundle:
    """What the tool has written, and the pages that load it."""
    told = json.loads((folder / "meta.json").read_text("utf-8"))["outputs"]
    outputs = {PurePath(name).name: output for name, output in told.items()}
    files = {
        name: Content.of((folder / "out" / name).read_bytes(), PurePath(name).suffix)
        for name in outputs
    }
    pages = {
        page: Content.of(_rewritten(page, text, outputs).encode(), ".html")
        for page, text in texts.items()
    }
    return Bundle(pages, files)


def _rewritten(page: str, text: str, outputs: Mapping[str, Mapping[str, object]]) -> str:
    """A page that loads what was made in place of its sources; the modules at once, not in turn."""
    stem = PurePath(page).stem
    made = {
        PurePath(str(output["entryPoint"])).name: name
        for name, output in outputs.items()
        if "entryPoint" in output
    }
    style, script = made.get(f"{stem}.css"), made.get(f"{stem}.js")
    lines = []
    if style is not None:
        lines.append(f'    <link rel="stylesheet" href="{BUILT}{style}" />\n')
    if script is not None:
        lines += [
            f'    <link rel="modulepreload" href="{BUILT}{name}" />\n'
            for name in _needed(script, outputs)
        ]
        lines.append(f'    <script type="module" src="{BUILT}{script}"></script>\n')
    text = _STYLES.sub("", _SCRIPT.sub("", text))
    return text.replace("  </head>", f"{''.join(lines)}  </head>", 1)


def _needed(script: str, outputs: Mapping[str, Mapping[str, object]]) -> list[str]:
    """What a script imports from the start, and what that imports."""
    found: list[str] = []
    waiting = [script]
    while waiting:
        imports = outputs[waiting.pop()].get("imports", [])
        for one in imports if isinstance(imports, list) else []:
            name = PurePath(one["path"]).name
            if one["kind"] == "import-statement" and name in outputs and name not in found:
                found.append(name)
                waiting.append(name)
    return found
