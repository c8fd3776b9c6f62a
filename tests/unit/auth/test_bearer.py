import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtserver.auth.bearer import (
    FoundToken,
    TokenSource,
    choose_subprotocol,
    find_token,
    offered_subprotocols,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9mLXRoaXJ0eS10d28tYnl0ZXM"

_BASE64URL = string.ascii_letters + string.digits + "-_"
# RFC 6750 section 2.1: b64token.
b64_tokens = st.text(_BASE64URL + ".~+/", min_size=20, max_size=200)


# Where to look for it


@pytest.mark.parametrize(
    "value",
    [f"Bearer {JWT}", f"bearer {JWT}", f"BEARER {JWT}", f"Bearer   {JWT}", f"  Bearer {JWT} "],
)
def test_the_authorization_header_holds_a_token_whatever_the_case_of_its_scheme(value: str) -> None:
    assert find_token(authorization=value) == FoundToken(JWT, TokenSource.HEADER)


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", f"Basic {JWT}", JWT, f"Bearer{JWT}"])
def test_a_header_without_a_bearer_token_is_passed_over(value: str) -> None:
    assert find_token(authorization=value) is None
    assert find_token(authorization=value, query="q") == FoundToken("q", TokenSource.QUERY)


@pytest.mark.parametrize(
    "offered",
    [["bearer", JWT], ["chat", "bearer", JWT], ["bearer", JWT, "chat"], ("bearer", JWT, "bearer")],
)
def test_the_subprotocol_after_bearer_is_the_token(offered: list[str]) -> None:
    assert find_token(subprotocols=offered) == FoundToken(JWT, TokenSource.SUBPROTOCOL)


@pytest.mark.parametrize("offered", [[], ["bearer"], ["chat", "bearer"], [JWT], ["Bearer", JWT]])
def test_subprotocols_without_the_pair_hold_no_token(offered: list[str]) -> None:
    # RFC 6455 section 4.1 compares subprotocols as they are, unlike a scheme's name.
    assert find_token(subprotocols=offered) is None


def test_header_goes_before_subprotocol_and_subprotocol_before_query() -> None:
    header, pair, query = "Bearer header.token.x", ["bearer", "pair.token.x"], "query.token.x"
    assert find_token(authorization=header, subprotocols=pair, query=query) == FoundToken(
        "header.token.x", TokenSource.HEADER
    )
    assert find_token(subprotocols=pair, query=query) == FoundToken(
        "pair.token.x", TokenSource.SUBPROTOCOL
    )
    assert find_token(query=query) == FoundToken("query.token.x", TokenSource.QUERY)
    assert find_token(query="") is None
    assert find_token() is None


def test_a_bad_token_is_not_passed_over_for_a_better_one_further_down() -> None:
    found = find_token(authorization="Bearer no token at all", query=JWT)
    assert found == FoundToken("no token at all", TokenSource.HEADER)


def test_a_found_token_does_not_show_in_its_representation() -> None:
    found = find_token(query=JWT)
    assert found is not None
    assert JWT not in repr(found)
    assert JWT not in f"{found}"


@pytest.mark.parametrize(
    ("header", "offered"),
    [
        (None, ()),
        ("", ()),
        ("bearer", ("bearer",)),
        (f"bearer, {JWT}", ("bearer", JWT)),
        (f" bearer ,{JWT}\t,, chat", ("bearer", JWT, "chat")),
    ],
)
def test_the_subprotocol_header_is_a_list(header: str | None, offered: tuple[str, ...]) -> None:
    assert offered_subprotocols(header) == offered


@given(st.lists(st.one_of(st.just("bearer"), st.just("chat"), b64_tokens)))
def test_the_answer_is_bearer_where_offered_and_never_a_token(offered: list[str]) -> None:
    assert choose_subprotocol(offered) == ("bearer" if "bearer" in offered else None)
