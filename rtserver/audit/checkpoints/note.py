"""Signed notes (c2sp.org/signed-note) with Ed25519: keys in their text forms, signing, opening.

A note is a text that ends in a line end, a blank line, and signatures: an em dash, the key's name,
and base64 of the key's id and the signature. Keys are written as Go's `sumdb/note` does, so that
tools made for it take them.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 64
NAME = r"[A-Za-z0-9][A-Za-z0-9._~:/-]{0,99}"
"""The name of a key: an address without its scheme, as the standard recommends."""

_ED25519 = b"\x01"
_KEY_BYTES = 32
_ID_BYTES = 4
_NAME = re.compile(NAME)
_SIGNATURE_LINE = re.compile(r"\u2014 (\S+) ([A-Za-z0-9+/]+={0,2})")
_PRIVATE = "PRIVATE+KEY+"


class NoteError(ValueError):
    """A text is no note, no key, or not signed by a key that is known; the message says which."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A key that tells whether a note is its owner's.

    Attributes:
        name: its name.
        public_key: 32 bytes (RFC 8032 section 5.1.5).
    """

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that, with the name, tell it apart from others."""
        seed = self.name.encode() + b"\n" + _ED25519 + self.public_key
        return hashlib.sha256(seed).digest()[:_ID_BYTES]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `NAME+ID+KEY`: hexadecimal digits, and base64 of the type 1 and the key.

        Raises:
            NoteError: it is no such text.
        """
        name, public_key = _parse_key(text)
        key = cls(name, public_key)
        if str(key) != text:
            raise NoteError("the key's id does not fit it: it was copied wrongly")
        return key

    def __str__(self) -> str:
        return _key_text(self.name, self.key_id, self.public_key)

    def has_signed(self, text: str, signature: bytes) -> bool:
        """Whether a signature is this key's, of this text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A key that signs. Its representation does not show it.

    Attributes:
        public: what its signatures are checked with.
    """

    def __init__(self, name: str, seed: bytes) -> None:
        """Make it.

        Args:
            name: its name, see `NAME`.
            seed: 32 bytes that nobody else knows.

        Raises:
            NoteError: that is no name of a key.
        """
        if _NAME.fullmatch(name) is None:
            raise NoteError(
                "a key's name is up to 100 letters, digits and . _ ~ : / - , such as an address: "
                "audit.example.com"
            )
        self._seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = VerifierKey(name, self._private.public_key().public_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text` gave.

        Raises:
            NoteError: it is no such text. The message does not quote it.
        """
        if not text.startswith(_PRIVATE):
            raise NoteError("it does not begin with PRIVATE+KEY")
        key = cls(*_parse_key(text.removeprefix(_PRIVATE)))
        if key.text() != text:
            raise NoteError("the key's id does not fit it")
        return key

    def text(self) -> str:
        """The key as it is kept in a file. Any reader of that file can sign."""
        return _PRIVATE + _key_text(self.public.name, self.public.key_id, self._seed)

    def sign(self, text: str) -> bytes:
        """The signature of a text, 64 bytes."""
        return self._private.sign(text.encode())


def _key_text(name: str, key_id: bytes, key: bytes) -> str:
    return f"{name}+{key_id.hex()}+{base64.b64encode(_ED25519 + key).decode()}"


def _parse_key(text: str) -> tuple[str, bytes]:
    """Name and key, without a look at the id."""
    # There may be a plus in base64, but in no name.
    name, _, rest = text.partition("+")
    try:
        key = base64.b64decode(rest.partition("+")[2], validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("it is no key: it does not end in base64") from None
    if _NAME.fullmatch(name) is None or key[:1] != _ED25519 or len(key) != 1 + _KEY_BYTES:
        raise NoteError("it is no Ed25519 key in the form NAME+ID+BASE64")
    return name, key[1:]


def note(text: str, key: VerifierKey, signature: bytes) -> str:
    """A text with a signature under it."""
    signed = base64.b64encode(key.key_id + signature).decode()
    return f"{text}\n\u2014 {key.name} {signed}\n"


def open_note(content: bytes, keys: Iterable[VerifierKey]) -> tuple[str, VerifierKey]:
    """The text of a note, and which of the known keys signed it.

    Raises:
        NoteError: it is no note, or no known key signed it, or one seems to have and did not.
    """
    if len(content) > MAX_NOTE_BYTES:
        raise NoteError(f"a note has {MAX_NOTE_BYTES} bytes at most")
    try:
        text, blank, signatures = content.decode().rpartition("\n\n")
    except UnicodeDecodeError:
        raise NoteError("a note is UTF-8") from None
    lines = signatures.split("\n")
    if not blank or lines.pop() or not 0 < len(lines) <= MAX_SIGNATURES:
        raise NoteError("it is no note: a text, a blank line, signatures")
    text += "\n"
    known = {(key.name, key.key_id): key for key in keys}
    signers = []
    for line in lines:
        match = _SIGNATURE_LINE.fullmatch(line)
        if match is None:
            raise NoteError("it has a line that is no signature")
        try:
            signed = base64.b64decode(match[2], validate=True)
        except binascii.Error:
            raise NoteError("it has a signature that is no base64") from None
        key = known.get((match[1], signed[:_ID_BYTES]))
        if key is None:
            continue  # of others, who may sign too
        if not key.has_signed(text, signed[_ID_BYTES:]):
            raise NoteError(f"the signature under the name {key.name} is not its key's")
        signers.append(key)
    if not signers:
        raise NoteError("no key that is known has signed it")
    return text, signers[0]
