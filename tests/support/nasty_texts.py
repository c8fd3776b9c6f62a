"""Texts that end, break or forge a frame where a transport escapes too little or decodes twice."""

import json
import random
import unicodedata

FORGED_FRAME = '{"type":"lock_changed","locked":true,"by":"mallory","id":"forged-1"}'
_INSIDE = json.dumps(FORGED_FRAME)
ATTACKS = (
    "coverage 50% done",
    "a%20b",
    "%",
    "100%%2525",
    "%E0%A4%A",
    "x%22,%22" + FORGED_FRAME.replace('"', "%5C%22") + "%22,%22y",
    f'x",{_INSIDE},"y',
    f'"]\r\n\r\ndata: a[{_INSIDE}]\r\n\r\n',
    f"\n\nid: forged-1\nevent: lock_changed\ndata: {FORGED_FRAME}\n\n",
    f"\u2028\u2028event: lock_changed\u2028data: {FORGED_FRAME}\u2028\u2028",
    f"\x85\x85event: lock_changed\x85data: {FORGED_FRAME}\x85\x85",
    f"\na[{_INSIDE}]\n",
    f"\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{FORGED_FRAME}",
    f"</script><script>p({_INSIDE})</script><!--<script>",
    f"]]>*/'\");p({_INSIDE});/*",
    "\\u0022,\\u0022 \\\\ \\",
    "\x00\x01\x08\x0b\x0c\x1b\x1c\x1d\x1e\x1f\x7f\x80\x9f",
    "\u200b\u200e\u202e\u2060\ufeff\ufff0\ufffe\uffff\U0001f600\U0010ffff",
    " leading and trailing \t",
    "c[3000,\"Go away!\"]",
    "&lt;b&gt; &amp; +plus+ ;/?:@&=+$,#",
)  # fmt: skip
"""Each was a way to end a frame, or to be read as another one, of some transport or client."""

_PIECES = (
    "%",
    "%22",
    "%5C",
    "%0A",
    "\r\n",
    "\n\n",
    "data: ",
    '"',
    "\\",
    "</script>",
    "\u2028",
    "\x00",
)


def random_texts(count: int, seed: int) -> list[str]:
    """So many texts of 0 to 40 characters, the same for a seed. No half of a surrogate pair."""
    dice = random.Random(seed)
    ranges = ((0x00, 0x1F), (0x20, 0x7E), (0x7F, 0xA0), (0x2000, 0x206F), (0xFFF0, 0xFFFF))
    return ["".join(_piece(dice, ranges) for _ in range(dice.randrange(41))) for _ in range(count)]


def _piece(dice: random.Random, ranges: tuple[tuple[int, int], ...]) -> str:
    kind = dice.random()
    if kind < 0.2:
        return dice.choice(_PIECES)
    if kind < 0.8:
        return chr(dice.randint(*dice.choice(ranges)))
    code = dice.randrange(0x110000 - 0x800)
    return chr(code if code < 0xD800 else code + 0x800)


def without(text: str, categories: frozenset[str], kept: str = "") -> str:
    """The text less the characters of these Unicode categories, and blanks around it."""
    return "".join(
        char for char in text if char in kept or unicodedata.category(char) not in categories
    ).strip()
