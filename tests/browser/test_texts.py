"""Every text arrives in a real browser as it was published, as one frame, by every transport."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from rtserver.model.identity import UNPRINTABLE
from tests.browser.conftest import NewContext, Site
from tests.browser.sockjs_client import TRANSPORTS, open_sockets, wait_for
from tests.support.nasty_texts import ATTACKS, random_texts, without
from tests.support.tokens import bearer, token
from tests.support.workers import Workers

ROOT = Path(__file__).parents[2]
NATIVE = ("native-websocket", "native-eventsource")
PARTIES = (
    ("websocket", "xhr-streaming", "eventsource", "iframe-eventsource"),
    ("htmlfile", "iframe-htmlfile"),
    ("xhr-polling", "iframe-xhr-polling", "jsonp-polling"),
)
"""Which share a browser: it opens six connections to a host at most."""
SEED = 1981
TEXTS, TEXTS_IN_EVENT = 2000, 50
COMMENTS = 20
COMMANDS = 8
"""No more may be under way at once."""
HALF = "half of a pair: \ud83d"
END = "texts.end"
OPEN_NATIVE = """([project, proposal, tokens, types]) => {
    const names = Object.keys(tokens);
    for (const name of names) got[name] = { by: name, frames: [], strange: [], end: null };
    const [socket, stream] = names.map((name) => got[name]);
    const take = (one) => ({ data }) => {
        try {
            one.frames.push(JSON.parse(data));
        } catch (error) {
            one.strange.push(data);
        }
    };
    const ws = new WebSocket(`/ws/projects/${project}`, ["bearer", tokens[names[0]]]);
    sockets[names[0]] = ws;
    ws.onmessage = take(socket);
    ws.onclose = ({ code }) => { socket.end = String(code); };
    const source = new EventSource(
        `/api/v1/proposals/${proposal}/events?token=${tokens[names[1]]}`);
    for (const type of types) source.addEventListener(type, take(stream));
    source.onerror = () => { stream.end = "error"; };
}"""
SAY = """ids => {
    for (const socket of Object.values(sockets))
        for (const request_id of ids)
            socket.send(JSON.stringify({ type: "view", proposal_ids: [], request_id }));
}"""
"""A command of each connection for each id, which comes back with the answer."""
ECHO = """([url, transports, texts]) => {
    window.echoed = {};
    for (const transport of transports) {
        const one = (echoed[transport] = { texts: [], end: null });
        const socket = new SockJS(url, null, { transports: [transport], timeout: 20_000 });
        socket.onopen = () => { for (const text of texts) socket.send(text); };
        socket.onmessage = ({ data }) => { one.texts.push(data); };
        socket.onclose = ({ code, reason }) => { one.end = `${code} ${reason}`; };
    }
}"""
ECHOED = "count => Object.values(echoed).every(({ texts, end }) => end || texts.length >= count)"
KNOW_ALL = """count => Object.values(got).every(({ frames, end }) => {
    const presence = frames.filter(({ type }) => type === "presence");
    const people = presence.flatMap(({ present = [], joined = [] }) => [...present, ...joined]);
    return end !== null || new Set(people.map(({ user_id }) => user_id)).size === count;
})"""

pytestmark = pytest.mark.skipif(
    not (ROOT / "node_modules/sockjs-client").exists(), reason="sockjs-client is not installed"
)


def _type(dice: random.Random) -> str:
    """A type of a service's own, as odd as one may be."""
    words = ["".join(dice.choices("az09_-", k=dice.randint(0, 9))) for _ in range(3)]
    return ".".join(f"t{word}" for word in words)


def _events(texts: list[str]) -> list[dict[str, Any]]:
    """All texts, many an event, as values and as keys."""
    dice = random.Random(SEED)
    parts = [texts[at : at + TEXTS_IN_EVENT] for at in range(0, len(texts), TEXTS_IN_EVENT)]
    return [{"type": _type(dice), "data": {"all": part, "one": {part[0]: part}}} for part in parts]


def _publish(page: Page, site: Site, events: list[dict[str, Any]]) -> None:
    answer = page.request.post(
        f"{site.base}/api/v1/projects/{site.project}/events",
        data=json.dumps({"events": events}),
        headers={**bearer(token("svc", roles=("service",))), "Content-Type": "application/json"},
    )
    assert answer.status == 201, answer.text()


def _refuse_halves(page: Page, site: Site, proposal: str) -> None:
    """Half of a surrogate pair is refused wherever it is sent, and nothing of it is stored."""
    events = f"/projects/{site.project}/events"
    comments = f"/proposals/{proposal}/comments"
    for path, body in (
        (events, {"type": "x.y", "data": HALF}),
        (events, {"type": "x.y", "data": {HALF: 1}}),
        (events, {"type": f"x.{HALF}"}),
        (comments, {"text": HALF}),
    ):
        answer = page.request.post(
            f"{site.base}/api/v1{path}",
            data=json.dumps(body),
            headers={
                **bearer(token("svc", roles=("service",))),
                "Content-Type": "application/json",
            },
        )
        assert answer.status == 400, answer.text()
        assert "half of a surrogate pair" in answer.json()["detail"]
    signed = token("svc", site.project, name=HALF)
    answer = page.request.get(f"{site.base}/api/v1{events}", headers={**bearer(signed)})
    assert answer.status == 401, answer.text()


def _received(page: Page) -> dict[str, Any]:
    """What came, by transport."""
    got: dict[str, Any] = json.loads(page.evaluate("JSON.stringify(got)"))
    return got


def test_every_text_arrives_as_published_and_as_one_frame_by_every_transport(
    site: Site, new_context: NewContext
) -> None:
    everyone = (*TRANSPORTS, *NATIVE)
    texts = [*ATTACKS, *random_texts(TEXTS, SEED)]
    events = _events(texts)
    shown = [without(text, UNPRINTABLE) for text in texts]
    names = {name: ("n" + shown[at] + shown[-at])[:256] for at, name in enumerate(everyone)}
    pages = [new_context().new_page() for _ in PARTIES]
    proposal = site.propose(pages[0], "texts", reviewers=[f"user-{name}" for name in everyone])
    begin = site.call(pages[0], "GET", f"/projects/{site.project}")["position"]
    for page, transports in zip(pages, PARTIES, strict=True):
        page.goto(f"{site.base}/legacy")
        open_sockets(page, site, transports, {one: {"name": names[one]} for one in transports})
    tokens = {one: token(f"user-{one}", site.project, name=names[one]) for one in NATIVE}
    types = ["message", "welcome", "presence", "comment_created", "lock_changed", END]
    types += sorted({event["type"] for event in events})
    pages[1].evaluate(OPEN_NATIVE, [site.project, proposal, tokens, types])
    wait_for(pages[1], NATIVE, "welcome")
    parties = [PARTIES[0], (*PARTIES[1], *NATIVE), PARTIES[2]]

    _publish(pages[0], site, events)
    said = [
        without("\n".join(texts[at :: COMMENTS * 5]), UNPRINTABLE, "\n\r\t")
        for at in range(COMMENTS)
    ]
    for text in said:
        site.post(pages[0], f"/proposals/{proposal}/comments", {"text": text})
    _refuse_halves(pages[0], site, proposal)
    _publish(pages[0], site, [{"type": END}])
    history = site.events(pages[0], begin)
    own = [event for event in history if "data" in event and event["type"] != END]
    assert [(one["type"], one["data"]) for one in own] == [(e["type"], e["data"]) for e in events]
    assert [e["comment"]["text"] for e in history if e["type"] == "comment_created"] == said

    asked = ["".join(texts[at :: COMMANDS * 3]) for at in range(COMMANDS)]
    for page, transports in zip(pages, parties, strict=True):
        wait_for(page, transports, END)
        page.evaluate(f"({SAY})({json.dumps([*asked, HALF])})")
        wait_for(page, [one for one in transports if one != NATIVE[1]], "ack", COMMANDS)
        wait_for(page, [one for one in transports if one != NATIVE[1]], "error")
        page.wait_for_function(KNOW_ALL, arg=len(everyone))
        for transport, one in _received(page).items():
            assert (one["end"], one["strange"]) == (None, []), transport
            stored = [f for f in one["frames"] if "id" in f and f["type"] != "position"]
            assert stored == history, transport
            answers = [f for f in one["frames"] if f["type"] in ("ack", "error")]
            if transport != NATIVE[1]:
                acked = [f["request_id"] for f in answers if f["type"] == "ack"]
                assert sorted(acked) == sorted(asked), transport
                (refused,) = [f for f in answers if f["type"] == "error"]
                assert refused["reason"] == "malformed", transport
                assert "half of a surrogate pair" in refused["error"], transport
            kinds = {frame["type"] for frame in one["frames"] if "id" not in frame}
            assert kinds <= {"welcome", "presence", "ack", "error"}, transport
            known = {}
            for frame in one["frames"]:
                for person in (*frame.get("present", ()), *frame.get("joined", ())):
                    known[person["user_id"]] = person["name"]
            assert known == {f"user-{name}": names[name] for name in everyone}, transport


def test_every_text_comes_back_as_it_was_sent_by_each_transport_of_sockjs(
    browser_workers: Workers, new_context: NewContext
) -> None:
    worker = browser_workers.start("--test-endpoints")
    texts = [text for text in (*ATTACKS, *random_texts(300, SEED + 1)) if text]
    pages = [new_context().new_page() for _ in PARTIES]
    for page, transports in zip(pages, PARTIES, strict=True):
        page.goto(f"http://{worker.address}/legacy")
        page.evaluate(ECHO, [f"http://{worker.address}/sockjs/echo", transports, texts])
    for page in pages:
        page.wait_for_function(ECHOED, arg=len(texts))
        for transport, one in json.loads(page.evaluate("JSON.stringify(echoed)")).items():
            assert (one["texts"], one["end"]) == (texts, None), transport


def test_the_texts_are_none_that_are_refused() -> None:
    for text in (*ATTACKS, *random_texts(TEXTS, SEED)):
        text.encode()
    assert len(set(random_texts(TEXTS, SEED))) > TEXTS * 0.95
    assert re.search("%[0-9A-F]{2}", "".join(ATTACKS))
