"""When the client asks for another token: `rtserver_client.tokens`."""

import pytest

from rtserver_client.tokens import Tokens, renewal_in_s
from tests.support.tokens import token


@pytest.mark.parametrize(("life_s", "wait_s"), [(10, 8), (300, 240), (3600, 3540), (3, 5)], ids=str)
def test_it_goes_by_the_life_of_the_token_and_not_by_a_clock(life_s: float, wait_s: float) -> None:
    # Issued by a computer whose clock is a day behind.
    issued = 1_700_000_000
    assert renewal_in_s(token(iat=issued, exp=issued + life_s)) == wait_s


@pytest.mark.parametrize("text", ["", "a.b.c", "no token", token(iat=None), token(exp=None)])
def test_one_that_says_nothing_of_its_life_is_not_renewed(text: str) -> None:
    assert renewal_in_s(text) is None


@pytest.mark.gen_test
async def test_a_source_is_asked_once_until_another_is_needed() -> None:
    given = iter(["first", "second"])

    async def source() -> str:
        return next(given)

    tokens = Tokens(source)
    assert [await tokens.current(), await tokens.current()] == ["first", "first"]
    assert await tokens.renew() == "second"
    assert await tokens.current() == "second"


@pytest.mark.gen_test
async def test_a_fixed_token_stays() -> None:
    tokens = Tokens("mine")
    assert not tokens.can_renew
    assert [await tokens.current(), await tokens.renew()] == ["mine", "mine"]
