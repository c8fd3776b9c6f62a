"""Which text a verdict is said to be on."""

import pytest

from rtserver.model.errors import StoreUnavailableError
from rtserver.model.run import JudgedText
from rtserver.runs.judged import judged

ONE: JudgedText = {"number": 1, "digest": "sha256:1", "at": "then"}
TWO: JudgedText = {"number": 2, "digest": "sha256:2", "at": "then"}


class Texts:
    """What a proposal's text is each time somebody looks; None: MongoDB does not answer."""

    def __init__(self, *seen: JudgedText | None) -> None:
        self._seen = list(seen)

    async def __call__(self, _proposal_id: str) -> JudgedText | None:
        found = self._seen.pop(0)
        if found is None:
            raise StoreUnavailableError("away")
        return found


async def _passed() -> str:
    return "passed"


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        ((ONE, ONE), ONE),
        ((ONE, TWO), None),  # nobody knows which of them was read
        ((None, ONE), None),
        ((ONE, None), None),
        ((None, None), None),
    ],
)
@pytest.mark.gen_test
async def test_a_verdict_is_on_a_text_that_stayed(
    seen: tuple[JudgedText | None, ...], text: JudgedText | None
) -> None:
    assert await judged(Texts(*seen), "p", _passed) == ("passed", text)


@pytest.mark.gen_test
async def test_what_the_validator_raises_is_raised() -> None:
    async def broken() -> str:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await judged(Texts(ONE, ONE), "p", broken)
