"""Surrogate halves: servers cut a text between UTF-16 units, and send an emoji in two pieces."""

_HIGH = ("\ud800", "\udbff")
REPLACEMENT = "\ufffd"


class SurrogateJoiner:
    """Takes the pieces of a text; gives them without halves, which no file and no log can hold."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """The piece with halves joined; what is left of one becomes U+FFFD."""
        if not piece:
            return ""
        text = self._half + piece
        self._half = ""
        if _HIGH[0] <= text[-1] <= _HIGH[1]:
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def end(self) -> str:
        """What stands for a half whose other one never came; empty where none is held."""
        half, self._half = self._half, ""
        return REPLACEMENT if half else ""
