"""`/v1/jobs/{id}/attempts`: the answer; what an attempt is stands in unit/test_attempts.py."""

from jobd.domain.statuses import Status
from tests.api.conftest import Api


async def test_attempts_come_oldest_first(api: Api) -> None:
    url = await api.ended(Status.FAILED)

    reply = await api.get(f"{url}/attempts")

    assert (reply.status, reply.json["next_page_token"]) == (200, None)
    assert [attempt["attempt"] for attempt in reply.json["attempts"]] == [1]


async def test_a_job_that_waits_has_none(api: Api) -> None:
    submitted = await api.submit(Prefer="respond-async")

    reply = await api.get(f"{submitted.headers['Location']}/attempts")

    assert reply.json == {"attempts": [], "next_page_token": None}
