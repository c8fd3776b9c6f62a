import json

from hypothesis import given
from hypothesis import strategies as st

from rtserver.model.audience import (
    WHOLE_PROJECT,
    WORKERS,
    Audience,
    members_of,
    only_users,
    viewers_of,
)

AUDIENCES = st.one_of(
    st.just(WHOLE_PROJECT),
    st.just(WORKERS),
    st.text().map(viewers_of),
    st.builds(members_of, st.text(), st.frozensets(st.text())),
    st.frozensets(st.text()).map(only_users),
)


@given(AUDIENCES)
def test_an_audience_survives_its_stored_form(audience: Audience) -> None:
    document = audience.to_document()
    assert Audience.from_document(json.loads(json.dumps(document))) == audience
    assert (document is None) == (audience == WHOLE_PROJECT)
