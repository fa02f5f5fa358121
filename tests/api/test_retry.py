"""`POST /v1/jobs/{id}/retry` and `DELETE /v1/jobs/{id}`: what can be done when a job is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Artifact
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from tests.api.conftest import Api

DOCUMENT = {"kind": "test.any", "args": {"n": 1}, "priority": 2, "metadata": {"a": "b"}}


async def failed(api: Api) -> str:
    url: str = (await api.submit(DOCUMENT, Prefer="respond-async")).headers["Location"]
    await api.end(await api.claim(), Status.FAILED)
    return url


async def test_a_failed_job_is_run_again_as_a_new_one(api: Api) -> None:
    url = await failed(api)
    old = (await api.get(url)).job

    reply = await api.ask("POST", f"{url}/retry")

    new = reply.job
    assert (reply.status, reply.headers["Location"]) == (202, new.poll_url)
    assert reply.headers["Cache-Control"] == "no-store"
    assert (reply.headers["Retry-After"], new.status) == ("1", "queued")
    assert new.job_id != old.job_id
    assert (new.retry_of, new.args, new.priority, new.metadata) == (
        old.job_id,
        old.args,
        2,
        {"a": "b"},
    )
    assert (old.retry_url, old.retried_as) == (f"{url}/retry", None)
    again = (await api.get(url)).job
    assert (again.retry_url, again.retried_as) == (None, new.job_id)
    assert (await api.get(new.poll_url)).headers["ETag"] == reply.headers["ETag"]


async def test_so_is_a_cancelled_one(api: Api) -> None:
    url = (await api.submit()).headers["Location"]
    await api.ask("POST", f"{url}/cancel")

    assert (await api.ask("POST", f"{url}/retry")).status == 202


async def test_it_happens_once(api: Api) -> None:
    url = await failed(api)
    new = (await api.ask("POST", f"{url}/retry")).job.job_id

    problem = (await api.ask("POST", f"{url}/retry")).problem(409, "job_already_retried")

    assert new in problem.detail


async def test_others_are_not_run_again(api: Api) -> None:
    completed = await api.ended()
    active = (await api.submit(Prefer="respond-async")).headers["Location"]

    (await api.ask("POST", f"{completed}/retry")).problem(409, "job_completed")
    (await api.ask("POST", f"{active}/retry")).problem(409, "job_active")
    assert (await api.get(completed)).job.retry_url is None
    assert (await api.get(active)).job.retry_url is None


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
async def test_a_job_that_is_over_is_deleted(api: Api, status: Status) -> None:
    url = (await api.submit(Prefer="respond-async")).headers["Location"]
    claim = await api.claim()
    folder = api.layout.attempt_artifacts(claim.job_id, claim.token)
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"x")
    path = f"{claim.job_id}/{claim.token}/a"
    with api.attempt_log(claim) as log:
        log.append(1, "stdout", "x")
    await api.end(claim, status, artifacts=(Artifact("a", path, "text/plain", 1, "0" * 64, 1),))

    reply = await api.ask("DELETE", url)

    assert (reply.status, reply.body) == (204, b"")
    for path in ("", "/events", "/logs", "/artifacts", "/artifacts/a"):
        (await api.get(f"{url}{path}")).problem(404, "job_not_found")
    (await api.ask("DELETE", url)).problem(404, "job_not_found")
    assert list(api.layout.artifacts.iterdir()) == list(api.layout.logs.iterdir()) == []


async def test_a_job_that_is_not_over_stays(api: Api) -> None:
    url = (await api.submit(Prefer="respond-async")).headers["Location"]

    (await api.ask("DELETE", url)).problem(409, "job_active")
    await api.claim()
    (await api.ask("DELETE", url)).problem(409, "job_active")
    assert (await api.get(url)).status == 200


async def test_a_key_of_a_deleted_job_is_used_up(api: Api) -> None:
    url = (await api.submit(Idempotency_Key="k")).headers["Location"]
    await api.ask("POST", f"{url}/cancel")
    await api.ask("DELETE", url)

    (await api.submit(Idempotency_Key="k")).problem(410, "job_expired")


async def test_what_is_refused(api: Api) -> None:
    url = await failed(api)

    for method, path in (("POST", "/retry"), ("DELETE", "")):
        (await api.ask(method, f"{url}{path}?force=1")).problem(400, "unknown_parameter")
        (await api.ask(method, f"/v1/jobs/x{path}")).problem(404, "job_not_found")
