"""The real sockjs-client in a page: a session over each of its transports."""

from collections.abc import Mapping, Sequence
from typing import Any

from playwright.sync_api import Page

from tests.browser.conftest import Site
from tests.support.tokens import token

TRANSPORTS = (
    "websocket",
    "xhr-streaming",
    "eventsource",
    "iframe-eventsource",
    "htmlfile",
    "iframe-htmlfile",
    "xhr-polling",
    "iframe-xhr-polling",
    "jsonp-polling",
)
"""All that it has for a browser of today; `xdr-*` are Internet Explorer's."""

_OPEN = """([url, greetings]) => {
    window.got = {};
    window.sockets = {};
    for (const [transport, greeting] of Object.entries(greetings)) {
        const one = (got[transport] = { by: null, frames: [], strange: [], end: null });
        const socket = new SockJS(url, null, { transports: [transport], timeout: 20_000 });
        sockets[transport] = socket;
        socket.onopen = () => {
            one.by = socket.transport;
            socket.send(JSON.stringify(greeting));
        };
        socket.onmessage = ({ data }) => {
            try {
                one.frames.push(JSON.parse(data));
            } catch (error) {
                one.strange.push(data);
            }
        };
        socket.onclose = ({ code, reason }) => { one.end = `${code} ${reason}`; };
    }
}"""
_SEEN = """([transports, type, count]) => transports.every((name) => {
    const { frames, end } = got[name];
    return end !== null || frames.filter((frame) => frame.type === type).length >= count;
})"""


def open_sockets(
    page: Page,
    site: Site,
    transports: Sequence[str],
    claims: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Open a session over each transport, as `user-TRANSPORT`, and wait for the welcomes.

    Args:
        page: has sockjs-client.
        site: the project.
        transports: names of sockjs-client's.
        claims: further claims of the token, by transport.
    """
    greetings = {
        transport: {
            "type": "hello",
            "project_id": site.project,
            "token": token(f"user-{transport}", site.project, **(claims or {}).get(transport, {})),
        }
        for transport in transports
    }
    page.evaluate(_OPEN, [f"{site.base}/sockjs/projects", greetings])
    wait_for(page, transports, "welcome")
    by = {name: one["by"] for name, one in page.evaluate("got").items()}
    assert by == {transport: transport for transport in transports}


def wait_for(page: Page, transports: Sequence[str], kind: str, count: int = 1) -> None:
    """Wait until each has so many frames of a type, or has ended."""
    page.wait_for_function(_SEEN, arg=[list(transports), kind, count])
