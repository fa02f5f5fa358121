"""`GET /v1/events`: what happens to all of a principal's jobs, live and resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.config import Config
from jobd.domain.jobs import NewJob, Progress, Update
from jobd.domain.outcomes import was_cancelled
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.api.conftest import Api, EventReader

    Serve = Callable[..., AbstractAsyncContextManager[Api]]

PAGE = 500


def somebodys(job_id: str, principal: str) -> NewJob:
    return NewJob(
        job_id=job_id,
        principal=principal,
        kind="test.any",
        queue="default",
        lane="cpu",
        priority=5,
        created_at_ms=1,
        run_at_ms=None,
        timeout_ms=1000,
        max_attempts=3,
        retention_ms=100_000_000,
        args=b"{}",
    )


async def submit(api: Api, **fields: Any) -> str:
    reply = await api.submit({"kind": "test.any", **fields}, Prefer="respond-async")
    job_id: str = reply.json["job_id"]
    return job_id


async def seen(events: EventReader, count: int) -> list[tuple[int, str, str]]:
    frames = [await events.next() for _ in range(count)]
    return [(f.id, f.event, f.data["data"]["job_id"]) for f in frames if f is not None]


async def test_it_begins_now(api: Api) -> None:
    await submit(api)

    async with api.stream("/v1/events") as events:
        first = await submit(api)
        second = await submit(api)
        found = await seen(events, 2)

    assert [(type_, job_id) for _, type_, job_id in found] == [
        ("job.queued", first),
        ("job.queued", second),
    ]


async def test_another_principals_jobs_are_not_in_it(api: Api) -> None:
    async with api.stream("/v1/events") as events:
        await api.writer.submit(somebodys("job_other", "uid:-1"))
        mine = await submit(api)
        live = await seen(events, 1)
    async with api.stream("/v1/events", Last_Event_ID="0") as events:
        past = await seen(events, 1)

    assert live == past
    assert [job_id for _, _, job_id in live] == [mine]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind=test.strict", [(1, "job.queued")]),
        ("queue=q", [(0, "job.queued"), (0, "job.processing"), (0, "job.completed")]),
        ("status=processing&status=completed", [(0, "job.processing"), (0, "job.completed")]),
        ("kind=test.strict&queue=q", []),
    ],
)
async def test_it_can_be_narrowed(api: Api, query: str, expected: list[tuple[int, str]]) -> None:
    async with api.stream(f"/v1/events?{query}") as events:
        jobs = [await submit(api, queue="q"), await submit(api, kind="test.strict", args={"n": 1})]
        await api.end(await api.claim())
        api.draining.set()
        frames = await events.rest()

    found = [(jobs.index(f.data["data"]["job_id"]), f.event) for f in frames]
    assert found == expected


async def test_each_event_has_the_job_as_it_was(api: Api) -> None:
    """Also when the job has gone on before the event is looked at: three events, one commit."""
    api.pool.free["cpu"] = 1
    async with api.stream("/v1/events") as events:
        await submit(api)
        frames = [await events.next(), await events.next()]
        claim = await api.pool.claims.get()
        await api.writer.progress(Update(claim.seq, claim.token, Progress(pct=3.0)))
        frames.append(await events.next())
        await api.end(claim, Status.CANCELLED, error=was_cancelled(1))
        frames.append(await events.next())

    jobs = [frame.data["data"] for frame in frames if frame is not None]
    assert [(job["status"], job["attempt"], job["progress_pct"]) for job in jobs] == [
        ("queued", 0, 0.0),
        ("processing", 1, 0.0),
        ("processing", 1, 3.0),
        ("cancelled", 1, 0.0),
    ]
    assert [job["started_at"] is None for job in jobs] == [True, False, False, False]


async def test_it_is_resumed_where_it_was_left(serve: Serve) -> None:
    async with serve(Config()) as api, api.stream("/v1/events") as events:
        first = await submit(api)
        ((left_at, _, _),) = await seen(events, 1)
    async with serve(Config()) as api:
        second = await submit(api)
        await api.end(await api.claim())
        async with api.stream("/v1/events", Last_Event_ID=str(left_at)) as events:
            found = await seen(events, 3)
            third = await submit(api)
            found += await seen(events, 1)

    assert [(type_, job_id) for _, type_, job_id in found] == [
        ("job.queued", second),
        ("job.processing", first),
        ("job.completed", first),
        ("job.queued", third),
    ]
    ids = [id_ for id_, _, _ in found]
    assert ids == sorted(set(ids))


async def test_a_long_absence_is_caught_up_with(api: Api) -> None:
    for n in range(PAGE + 100):
        await api.writer.submit(somebodys(f"job_{n:032x}", api.me))

    async with api.stream("/v1/events", Last_Event_ID="0") as events:
        found = await seen(events, PAGE + 100)
        mine = await submit(api)
        found += await seen(events, 1)

    others = [f"job_{n:032x}" for n in range(PAGE + 100)]
    assert [job_id for _, _, job_id in found] == [*others, mine]


@pytest.mark.parametrize("id_", ["x", "9" * 18])
async def test_an_id_that_was_never_given_out_means_now(api: Api, id_: str) -> None:
    await submit(api)

    async with api.stream("/v1/events", Last_Event_ID=id_) as events:
        mine = await submit(api)
        assert [job_id for _, _, job_id in await seen(events, 1)] == [mine]


async def test_it_is_the_data_of_the_jobs_own_stream(api: Api) -> None:
    async with api.stream("/v1/events") as of_all:
        job_id = await submit(api)
        await of_all.next()
        async with api.stream(f"/v1/jobs/{job_id}/events") as of_job:
            await of_job.next()
            await api.end(await api.claim())
            own = await of_job.rest()
        ours = [await of_all.next() for _ in own]

    assert [msgspec.structs.replace(f, retry=None) for f in own] == ours


async def test_what_is_refused(api: Api) -> None:
    (await api.get("/v1/events", Accept="application/json")).problem(406, "not_acceptable")
    (await api.get("/v1/events?status=new")).problem(400, "invalid_parameter")
    (await api.get("/v1/events?attempt=1")).problem(400, "unknown_parameter")
