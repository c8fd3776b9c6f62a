"""What esbuild makes of a page's modules, and what becomes of a page without it."""

import asyncio
from pathlib import Path

import pytest

from handlers.assets.bundle import Bundler, find_tool

ROOT = Path(__file__).parents[4]
PAGE = """<!doctype html>
<html lang="en">
  <head>
    <title>A page</title>
    <link rel="stylesheet" href="/static/one.css" />
    <link rel="stylesheet" href="/static/two.css" />
    <script type="module" src="/static/app/{name}.js"></script>
  </head>
</html>
"""
VENDORED = 'const load = () => import("/static/vendor/x.js");\n'


@pytest.fixture
def static(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "app").mkdir(parents=True)
    for name in ("index", "admin"):
        (folder / f"{name}.html").write_text(PAGE.format(name=name))
        code = f'import {{ both }} from "./shared.js";\n{VENDORED}load(both("{name}"));\n'
        (folder / "app" / f"{name}.js").write_text(code)
    (folder / "app" / "shared.js").write_text("export const both = (text) => `both ${text}`;\n")
    (folder / "one.css").write_text("a { color: red }\n")
    (folder / "two.css").write_text("a { color: blue }\n")
    return folder


def _bundler(static: Path, tool: Path | None) -> Bundler:
    return Bundler(static, ("index.html", "admin.html"), tool, look_interval_s=0)


def test_a_page_loads_few_files_whose_names_tell_their_contents(static: Path) -> None:
    tool = find_tool(ROOT / "node_modules")
    if tool is None:
        pytest.skip("npm has not installed esbuild")

    async def make() -> None:
        bundler = _bundler(static, tool)
        bundle, again = await asyncio.gather(bundler.get(), bundler.get())
        assert bundle is not None
        assert bundle is again
        page = bundle.pages["index.html"].plain.decode()
        assert page.count("<link") == 2
        assert page.count("<script") == 1
        named = {name for name in bundle.files if f'"/static/built/{name}"' in page}
        assert sorted(name.partition("-")[0] for name in named) == ["chunk", "index", "index"]
        assert '<link rel="modulepreload" href="/static/built/chunk-' in page
        (style,) = (bundle.files[name].plain for name in named if name.endswith(".css"))
        assert style.index(b"red") < style.index(b"#00f" if b"#00f" in style else b"blue")
        script = next(name for name in named if name.startswith("index") and name.endswith(".js"))
        assert b"/static/vendor/x.js" in bundle.files[script].plain
        assert bundle.newest("index-OLDOLDOL.js") is bundle.files[script]
        assert bundle.newest("chunk-OLDOLDOL.js") is None
        assert bundle.newest("passwd") is None
        (static / "app" / "index.js").write_text('console.log("changed");\n')
        assert await bundler.latest() is bundle
        changed = await bundler.get()
        assert await bundler.latest() is changed
        assert changed is not None
        assert script not in changed.files

    asyncio.run(make())


@pytest.mark.parametrize("tool", [None, Path("/bin/false"), Path("/none/such")])
def test_without_the_tool_there_is_no_bundle(static: Path, tool: Path | None) -> None:
    assert asyncio.run(_bundler(static, tool).get()) is None


def test_what_cannot_be_put_together_is_left_as_it_is(static: Path) -> None:
    tool = find_tool(ROOT / "node_modules")
    if tool is None:
        pytest.skip("npm has not installed esbuild")
    (static / "app" / "index.js").write_text('import "./none.js";\n')
    assert asyncio.run(_bundler(static, tool).get()) is None
