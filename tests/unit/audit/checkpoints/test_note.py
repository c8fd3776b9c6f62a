"""Signed notes, held against those of Go's package `sumdb/note`, whose format it is."""

import base64

import pytest

from rtserver.audit.checkpoints.note import (
    MAX_NOTE_BYTES,
    NoteError,
    SigningKey,
    VerifierKey,
    note,
    open_note,
)

# From the documentation of golang.org/x/mod/sumdb/note.
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_NOTE = (
    f"{TEXT}\n\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_keys_and_signatures_are_those_of_go() -> None:
    key = SigningKey.parse(GO_SECRET)
    assert (str(key.public), key.text()) == (GO_PUBLIC, GO_SECRET)
    assert VerifierKey.parse(GO_PUBLIC) == key.public
    assert note(TEXT, key.public, key.sign(TEXT)) == GO_NOTE
    assert open_note(GO_NOTE.encode(), [key.public]) == (TEXT, key.public)
    assert base64.b64encode(key.sign(TEXT)).decode() not in repr(key)


def test_others_may_sign_too_but_whom_one_knows_must_not_be_made_up() -> None:
    ours, other = SigningKey("ours", bytes(32)), SigningKey("other", bytes([1] * 32))
    signed = note(TEXT, ours.public, ours.sign(TEXT))
    line = note(TEXT, other.public, other.sign(TEXT)).rpartition("\n\n")[2]
    assert open_note((signed + line).encode(), [ours.public]) == (TEXT, ours.public)
    made_up = note(TEXT, other.public, ours.sign(TEXT)).rpartition("\n\n")[2]
    with pytest.raises(NoteError, match="not its key's"):
        open_note((signed + made_up).encode(), [ours.public, other.public])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text\n",
        TEXT.encode(),
        GO_NOTE.encode()[:-1],
        GO_NOTE.replace("problem is", "solution is").encode(),
        GO_NOTE.replace("\u2014", "-").encode(),
        GO_NOTE.replace("PeterNeumann", "Peter").encode(),
        GO_NOTE.replace("x08go", "y08go").encode(),
        GO_NOTE.replace("wJnAM=", "wJnAM").encode(),
        b"\xff" + GO_NOTE.encode(),
        b"x" * (MAX_NOTE_BYTES + 1),
    ],
)
def test_what_is_not_signed_by_a_known_key_is_refused(content: bytes) -> None:
    with pytest.raises(NoteError):
        open_note(content, [VerifierKey.parse(GO_PUBLIC)])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a+b",
        GO_PUBLIC.replace("c74f20a3", "c74f20a4"),
        GO_PUBLIC.replace("PeterNeumann", "Peter Neumann"),
        GO_PUBLIC[:-4],
        GO_PUBLIC.replace("+ARpc", "+AhpcX"),
        GO_PUBLIC + "!",
        GO_SECRET,
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.parse(text)


@pytest.mark.parametrize("text", ["", GO_PUBLIC, GO_SECRET.replace("c74f", "c74e"), GO_SECRET[:-2]])
def test_what_is_no_secret_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(NoteError) as refused:
        SigningKey.parse(text)
    assert "AYEK" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "with blank", "with+plus", "x" * 101, "/begin"])
def test_a_key_has_a_name_that_stands_in_a_line(name: str) -> None:
    with pytest.raises(NoteError, match="name"):
        SigningKey(name, bytes(32))
