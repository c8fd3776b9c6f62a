"""A real Firefox, over WebDriver BiDi: puppeteer-core speaks it, in a child process of Node.js.

Playwright drives only Firefoxes that were built for it, and not the one that people have.
"""

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.line_process import NODE
from tests.support.node import MODULES, need_node, tool_environment
from tests.support.processes import end

FIREFOXES = ("firefox-esr", "firefox")


class FirefoxError(AssertionError):
    """What was asked did not work, or what was waited for did not come."""


class _Driver:
    """The child process: one call at a time, each bounded by its own time-outs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._names = itertools.count(1)
        self.version = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise FirefoxError(f"the driver ended, status {self._process.wait(60)}")
        answer = json.loads(line)
        if "error" in answer:
            raise FirefoxError(answer["error"])
        return answer["result"]

    def call(self, on: str, method: str, *given: object, keep: str | None = None) -> Any:
        """Call a method of what is kept under a name."""
        assert self._process.stdin is not None
        asked = {"on": on, "method": method, "given": given, "keep": keep}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def make(self, on: str, method: str, *given: object) -> str:
        """Call a method and keep its result; the name."""
        name = f"{method}-{next(self._names)}"
        self.call(on, method, *given, keep=name)
        return name


class FirefoxPage:
    """A tab. Selectors are CSS.

    Asked by role and name, Firefox goes through the whole document: seconds, with a full terminal.
    """

    def __init__(self, driver: _Driver, name: str) -> None:
        self._driver = driver
        self._name = name

    def _call(self, method: str, *given: object) -> Any:
        return self._driver.call(self._name, method, *given)

    @property
    def url(self) -> str:
        """The address that is shown."""
        return str(self._call("url"))

    def goto(self, url: str) -> None:
        """Open an address, from scratch also where only the part behind # is another."""
        self._call("goto", "about:blank")
        self._call("goto", url)

    def evaluate(self, script: str, *given: object) -> Any:
        """What a JavaScript function returns in the page, as JSON."""
        return self._call("evaluate", {"script": script}, *given)

    def wait(self, script: str, *given: object) -> None:
        """Wait until a JavaScript function returns something true in the page."""
        try:
            self._call("waitForFunction", {"script": script}, {"polling": 50}, *given)
        except FirefoxError as error:
            seen = self.evaluate("() => document.body.innerText.slice(0, 4000)")
            raise FirefoxError(f"{error}\nwaited for {script} {given}, saw:\n{seen}") from None

    def wait_text(self, selector: str, text: str) -> None:
        """Wait until the first element that fits contains a text."""
        self.wait(
            "(selector, text) => document.querySelector(selector)?.textContent.includes(text)",
            selector,
            text,
        )

    def wait_count(self, selector: str, count: int) -> None:
        """Wait until at least so many elements fit."""
        self.wait(
            "(selector, count) => document.querySelectorAll(selector).length >= count",
            selector,
            count,
        )

    def click(self, selector: str) -> None:
        """Click what can be seen, once it can."""
        self._driver.call(self._driver.make(self._name, "locator", selector), "click")

    def fill(self, selector: str, text: str) -> None:
        """Put a text into a field."""
        self._driver.call(self._driver.make(self._name, "locator", selector), "fill", text)

    def press(self, key: str, *held: str) -> None:
        """Press a key, as WebDriver names it, while others are held."""
        for each in held:
            self._call("keyboard.down", each)
        self._call("keyboard.press", key)
        for each in held:
            self._call("keyboard.up", each)

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self._call("keyboard.type", text)

    def bring_to_front(self) -> None:
        """Make it the tab that is seen."""
        self._call("bringToFront")

    def close(self) -> None:
        """Close the tab."""
        self._call("close")


class Firefox:
    """The browser; each profile of it has tabs that share what is stored."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        self._profiles: list[str] = []

    @property
    def version(self) -> str:
        """As the browser says it, "firefox/153.8"."""
        return str(self._driver.version)

    def profile(self) -> str:
        """A profile with nothing stored."""
        self._profiles.append(self._driver.make("browser", "createBrowserContext"))
        return self._profiles[-1]

    def page(self, profile: str | None = None, width: int = 1280) -> FirefoxPage:
        """A new tab, in a new profile unless one is given."""
        name = self._driver.make(profile or self.profile(), "newPage")
        self._driver.call(name, "setViewport", {"width": width, "height": 800})
        return FirefoxPage(self._driver, name)

    def close_profiles(self) -> None:
        """Close all tabs, and forget what they stored."""
        while self._profiles:
            self._driver.call(self._profiles.pop(), "close")

    def complaints(self) -> list[str]:
        """Scripts that failed, and errors on the console, since this was last asked."""
        return list(self._driver.call("browser", "complaints"))


def find_firefox() -> str | None:
    """The browser to use: `RT_TEST_FIREFOX`, or the first of the usual names on PATH."""
    named = os.environ.get("RT_TEST_FIREFOX")
    return named or next(filter(None, map(shutil.which, FIREFOXES)), None)


@contextmanager
def firefox() -> Iterator[Firefox]:
    """Run Firefox without a window. Skips where there is none, or nothing to drive it."""
    executable = find_firefox()
    if executable is None:
        pytest.skip("no Firefox was found: install one, or name it in RT_TEST_FIREFOX")
    if not (MODULES / "puppeteer-core").exists():
        pytest.skip("puppeteer-core is not installed: `make test` gets it")
    with subprocess.Popen(
        [need_node(), str(NODE / "firefox.mjs"), executable],
        env=tool_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None
        try:
            yield Firefox(_Driver(process))
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            end(process)
