"""Coalescing: joins the pieces of a model's reply for those who come late.

Who opens a proposal in the middle of a run would get ten thousand frames of a word each. Pieces of
one run that follow each other, as far as this client sees, become one frame with their text. It
carries the id of the last one, so a client that has it resumes after exactly what it has; and
`first_n`, the number of the first one, beside the `n` of the last.
"""

import msgspec

from rtserver.model.events import EventType, StoredEvent


class _Token(msgspec.Struct):
    run_id: str
    n: int
    content: str
    ts: str
    project_id: str
    proposal_id: str | None = None
    reasoning: str = ""


_decode = msgspec.json.Decoder(_Token).decode
_encode = msgspec.json.Encoder().encode


class TokenBacklog:
    """Takes events in order, gives them back in order, with pieces joined.

    What is held back is never more than the bound: give it out with `flush` before anything else
    is sent, and before the client is told of a later position.
    """

    def __init__(self, max_bytes: int) -> None:
        """Make an empty backlog.

        Args:
            max_bytes: of the text in a joined frame, as JSON.
        """
        self._max_bytes = max_bytes
        self._held: list[StoredEvent] = []
        self._tokens: list[_Token] = []
        self._size_bytes = 0

    def add(self, events: list[StoredEvent]) -> list[StoredEvent]:
        """Take what comes next; what can be sent now."""
        ready: list[StoredEvent] = []
        for event in events:
            if event.type != EventType.TOKEN:
                ready += self.flush()
                ready.append(event)
                continue
            token = _decode(event.payload)
            size_bytes = len(_encode(token.content or token.reasoning))
            if not self._fits(token, size_bytes):
                ready += self.flush()
            self._held.append(event)
            self._tokens.append(token)
            self._size_bytes += size_bytes
        return ready

    def _fits(self, token: _Token, size_bytes: int) -> bool:
        if not self._tokens:
            return True
        last = self._tokens[-1]
        return (
            token.run_id == last.run_id
            # A piece that is missing, because it was overwritten, must stay visible as missing.
            and token.n == last.n + 1
            # A frame with both would not say which came first, and how much of each.
            and bool(token.reasoning) == bool(last.reasoning)
            and self._size_bytes + size_bytes <= self._max_bytes
        )

    def flush(self) -> list[StoredEvent]:
        """What was held back, in one event or none."""
        held, self._held = self._held, []
        tokens, self._tokens = self._tokens, []
        self._size_bytes = 0
        if len(held) < 2:
            return held
        last, newest = held[-1], tokens[-1]
        frame = {
            "type": last.type,
            "project_id": newest.project_id,
            "proposal_id": newest.proposal_id,
            "run_id": newest.run_id,
            "content": "".join([token.content for token in tokens]),
            "n": newest.n,
            "first_n": tokens[0].n,
            "ts": newest.ts,
        }
        if newest.reasoning:
            frame["reasoning"] = "".join([token.reasoning for token in tokens])
        return [
            StoredEvent(
                last.project_id,
                last.epoch,
                last.seq,
                last.type,
                last.proposal_id,
                last.audience,
                _encode(frame).decode(),
            )
        ]
