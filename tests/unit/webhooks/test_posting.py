"""`rtserver.webhooks.posting`, against a real server."""

import base64
import time

import pytest

from rtserver.webhooks.message import signed_headers
from rtserver.webhooks.ports import Answer
from rtserver.webhooks.posting import HttpPoster
from tests.support.webhook_receiver import SECRET, receiver

KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
BODY = b'{"type":"test.event"}'


def _headers() -> dict[str, str]:
    return signed_headers("msg_1", BODY, [KEY], at_s=time.time())


@pytest.mark.gen_test
async def test_an_answer_is_accepted_by_its_status_alone() -> None:
    poster = HttpPoster(private=True, timeout_s=5.0)
    async with receiver() as there:
        assert await poster.post(there.url, _headers(), BODY) == Answer(204)
        assert there.got == [("msg_1", {"type": "test.event"})]
        there.status, there.headers = 503, {"Retry-After": "120"}
        refused = await poster.post(there.url, _headers(), BODY)
        assert refused == Answer(503, "status 503", 120.0)
        there.status, there.headers = 307, {"Location": there.url, "Retry-After": "soon"}
        assert await poster.post(there.url, _headers(), BODY) == Answer(307, "status 307")
        assert len(there.got) == 3
        there.status = 410
        assert (await poster.post(there.url, _headers(), BODY)).is_gone
    assert (await poster.post(there.url, _headers(), BODY)).status is None
    await poster.close()


@pytest.mark.gen_test
async def test_no_answer_in_time_is_none() -> None:
    poster = HttpPoster(private=True, timeout_s=0.05)
    async with receiver() as there:
        there.answering.clear()
        answer = await poster.post(there.url, _headers(), BODY)
        assert answer == Answer(None, "no answer within 0.05 s")
        await poster.close()


@pytest.mark.gen_test
async def test_nothing_goes_to_private_addresses_however_they_are_written() -> None:
    poster = HttpPoster(private=False, timeout_s=5.0)
    async with receiver() as there:
        for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
            url = there.url.replace("127.0.0.1", host)
            answer = await poster.post(url, _headers(), BODY)
            assert answer.status is None, host
            # A number alone is no host for aiohttp itself.
            assert "public address" in (answer.problem or "") or host.isdigit(), host
        assert there.got == []
    await poster.close()
