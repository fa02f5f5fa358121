"""What is another principal's: who sees it, who may change it, and lists of everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobd.config import Config, Jobs
from jobd.domain.principals import Scope
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.api.conftest import Api, Reply

    Serve = Callable[..., AbstractAsyncContextManager[Api]]

OF_JOB = ["", "/result", "/attempts", "/events", "/logs", "/artifacts", "/artifacts/a"]
STRICT = {"kind": "test.strict", "args": {"n": 1}}


async def token(api: Api, *scopes: Scope, principal: str = "another") -> dict[str, str]:
    """The header of somebody who is not the one behind the socket."""
    _, text = await api.tokens.create(principal, scopes)
    return {"Authorization": f"Bearer {text}"}


async def job_of(api: Api, headers: dict[str, str], **fields: Any) -> Reply:
    document = {"kind": "test.any", **fields}
    headers = {"Prefer": "respond-async", **headers}
    return await api.ask("POST", "/v1/jobs", json=document, headers=headers)


async def batch_of(api: Api, headers: dict[str, str], *jobs: dict[str, Any]) -> str:
    document = {"jobs": jobs or [{"kind": "test.any"}]}
    reply = await api.ask("POST", "/v1/batches", json=document, headers=headers)
    url: str = reply.headers["Location"]
    return url


def ids(reply: Reply, things: str = "jobs") -> list[str]:
    return [one[f"{things.rstrip('es')}_id"] for one in reply.json[things]]


async def test_who_may_only_submit_sees_no_job_of_others(api: Api) -> None:
    url = await api.ended()
    other = await token(api, Scope.SUBMIT)

    for path in OF_JOB:
        (await api.ask("GET", url + path, headers=other)).problem(404, "job_not_found")
    for method, path in [("POST", f"{url}/cancel"), ("POST", f"{url}/retry"), ("DELETE", url)]:
        (await api.ask(method, path, headers=other)).problem(404, "job_not_found")


async def test_who_may_read_sees_the_jobs_of_others(api: Api) -> None:
    url = await api.ended()
    reader = await token(api, Scope.READ)

    seen = await api.ask("GET", url, headers=reader)

    assert (seen.status, seen.job.principal) == (200, api.me)
    for path in OF_JOB[2:-1]:
        assert (await api.ask("GET", url + path, headers=reader)).status == 200, path


async def test_who_may_read_and_submit_changes_no_job_of_others(api: Api) -> None:
    url = await api.ended(Status.FAILED)
    reader = await token(api, Scope.READ, Scope.SUBMIT)

    for method, path in [("POST", f"{url}/cancel"), ("POST", f"{url}/retry"), ("DELETE", url)]:
        refused = await api.ask(method, path, headers=reader)
        refused.problem(403, "forbidden")
        assert refused.headers["WWW-Authenticate"].endswith('scope="operate"')


async def test_who_may_operate_changes_jobs_and_they_stay_whose_they_were(api: Api) -> None:
    owner, operator = await token(api, Scope.SUBMIT), await token(api, Scope.OPERATE, principal="o")
    url = (await job_of(api, owner)).headers["Location"]

    cancelled = await api.ask("POST", f"{url}/cancel", headers=operator)
    retried = await api.ask("POST", f"{url}/retry", headers=operator)
    deleted = await api.ask("DELETE", url, headers=operator)

    assert (cancelled.status, retried.status, deleted.status) == (200, 202, 204)
    assert retried.job.principal == "another"
    assert ids(await api.ask("GET", "/v1/jobs", headers=owner)) == [retried.job.job_id]


async def test_batches_of_others(api: Api) -> None:
    url = await batch_of(api, {})
    other, reader = await token(api, Scope.SUBMIT), await token(api, Scope.READ, Scope.SUBMIT)
    operator = await token(api, Scope.OPERATE)

    for method, path in [("GET", url), ("POST", f"{url}/cancel"), ("POST", f"{url}/retry")]:
        (await api.ask(method, path, headers=other)).problem(404, "batch_not_found")
    assert (await api.ask("GET", url, headers=reader)).status == 200
    for path in (f"{url}/cancel", f"{url}/retry"):
        (await api.ask("POST", path, headers=reader)).problem(403, "forbidden")
    assert (await api.ask("POST", f"{url}/cancel", headers=operator)).status == 200
    again = await api.ask("POST", f"{url}/retry?status=cancelled", headers=operator)
    assert again.status == 202
    assert ids(await api.get("/v1/batches"), "batches")[0] == again.json["batch_id"]


@pytest.mark.parametrize(("path", "things"), [("/v1/jobs", "jobs"), ("/v1/batches", "batches")])
async def test_a_list_is_of_ones_own_unless_all_are_asked_for(
    api: Api, path: str, things: str
) -> None:
    make = job_of if things == "jobs" else batch_of
    submitter, reader = await token(api, Scope.SUBMIT), await token(api, Scope.READ)
    for owner in ({}, submitter, {}):
        await make(api, owner)

    async def listed(headers: dict[str, str], query: str = "") -> list[str]:
        return ids(await api.ask("GET", path + query, headers=headers), things)

    mine, theirs, everybodys = await listed({}), await listed(submitter), await listed({}, "?all=1")
    assert (len(mine), len(theirs)) == (2, 1)
    assert everybodys == [mine[0], *theirs, mine[1]]
    assert await listed(reader, "?all=true") == everybodys
    assert await listed(reader) == theirs  # the same principal
    assert await listed(reader, "?all=false") == theirs
    refused = await api.ask("GET", f"{path}?all=true", headers=submitter)
    refused.problem(403, "forbidden")
    assert refused.headers["WWW-Authenticate"].endswith('scope="read"')
    (await api.get(f"{path}?all=maybe")).problem(400, "invalid_parameter")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/batches"])
async def test_the_token_of_a_page_of_all_is_none_of_ones_own(api: Api, path: str) -> None:
    for _ in range(2):
        await batch_of(api, {})

    first = await api.get(f"{path}?all=true&page_size=1")
    token_of_all = first.json["next_page_token"]

    query = f"page_size=1&page_token={token_of_all}"
    assert (await api.get(f"{path}?all=true&{query}")).status == 200
    assert f"{path}?all=true&page_size=1&page_token=" in first.headers["Link"]
    (await api.get(f"{path}?{query}")).problem(400, "invalid_page_token")


async def test_the_filters_hold_among_everybodys_jobs(api: Api) -> None:
    submitter = await token(api, Scope.SUBMIT)
    theirs = (await job_of(api, submitter, **STRICT)).job.job_id
    await job_of(api, submitter)
    await api.submit()
    batch = await batch_of(api, submitter)
    (in_batch,) = ids(await api.get(f"/v1/jobs?all=true&batch_id={batch.rpartition('/')[2]}"))

    assert ids(await api.get("/v1/jobs?all=true&kind=test.strict")) == [theirs]
    assert ids(await api.get("/v1/jobs?all=true&queue=slow&status=queued")) == [theirs]
    assert ids(await api.get(f"/v1/jobs?batch_id={batch.rpartition('/')[2]}")) == []
    assert in_batch in ids(await api.ask("GET", "/v1/jobs", headers=submitter))


async def test_events_are_of_ones_own_unless_all_are_asked_for(api: Api) -> None:
    submitter = await token(api, Scope.SUBMIT)
    refused = await api.ask("GET", "/v1/events?all=true", headers=submitter)
    async with api.stream("/v1/events?all=true") as of_all, api.stream("/v1/events") as of_mine:
        theirs = (await job_of(api, submitter)).job.job_id
        mine = (await job_of(api, {})).job.job_id
        found = [await of_all.next(), await of_all.next(), await of_mine.next()]

    refused.problem(403, "forbidden")
    assert [f.data["data"]["job_id"] for f in found if f] == [theirs, mine, mine]


@pytest.mark.parametrize(
    ("scope", "single_s", "most_s"), [(Scope.SUBMIT, 10, 10), (Scope.OPERATE, 60, 100)]
)
async def test_who_may_operate_may_ask_for_more_time_than_the_handler_gives(
    serve: Serve, scope: Scope, single_s: int, most_s: int
) -> None:
    async with serve(Config(jobs=Jobs(timeout_s=50, max_timeout_s=100))) as api:
        caller = await token(api, scope)
        single = await job_of(api, caller, **STRICT, timeout_seconds=60)
        longest = await job_of(api, caller, **STRICT, timeout_seconds=9999)
        shorter = await job_of(api, caller, **STRICT, timeout_seconds=1)
        batch = await batch_of(api, caller, {**STRICT, "timeout_seconds": 60})
        (line,) = (await api.ask("GET", batch, headers=caller)).json["job_ids"]
        in_batch = (await api.ask("GET", f"/v1/jobs/{line}", headers=caller)).job

    assert single.job.timeout_seconds == in_batch.timeout_seconds == single_s
    assert (longest.job.timeout_seconds, shorter.job.timeout_seconds) == (most_s, 1)
