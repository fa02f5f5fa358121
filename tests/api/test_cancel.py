"""`POST /v1/jobs/{id}/cancel`: at once, on request, again, too late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from tests.api.conftest import Api


async def test_a_queued_job_is_cancelled_at_once(api: Api) -> None:
    url = (await api.submit()).headers["Location"]

    reply = await api.ask("POST", f"{url}/cancel")

    assert (reply.status, reply.job.status, reply.job.done) == (200, "cancelled", True)
    assert reply.headers["Cache-Control"] == "no-store"
    assert "Retry-After" not in reply.headers
    assert (await api.get(url)).json == reply.json


async def test_of_a_running_job_it_is_requested(api: Api) -> None:
    url = (await api.submit()).headers["Location"]
    claim = await api.claim()

    reply = await api.ask("POST", f"{url}/cancel")

    assert (reply.status, reply.job.status, reply.job.cancel_requested) == (202, "processing", True)
    assert reply.headers["Retry-After"] == "1"
    assert api.pool.cancelled == [claim.token]


async def test_it_may_be_repeated(api: Api) -> None:
    url = (await api.submit()).headers["Location"]
    first = await api.ask("POST", f"{url}/cancel")

    again = await api.ask("POST", f"{url}/cancel")

    assert (again.status, again.json) == (200, first.json)


async def test_a_finished_job_stays_as_it_is(api: Api) -> None:
    for status in (Status.COMPLETED, Status.FAILED):
        url = await api.ended(status)

        (await api.ask("POST", f"{url}/cancel")).problem(409, "job_already_finished")


async def test_a_body_is_not_read(api: Api) -> None:
    url = (await api.submit()).headers["Location"]

    assert (await api.ask("POST", f"{url}/cancel", data=b"x" * 10_000)).status == 200


async def test_a_job_that_never_was(api: Api) -> None:
    (await api.ask("POST", "/v1/jobs/x/cancel")).problem(404, "job_not_found")


async def test_a_parameter_is_refused(api: Api) -> None:
    url = (await api.submit()).headers["Location"]

    (await api.ask("POST", f"{url}/cancel?force=1")).problem(400, "unknown_parameter")
