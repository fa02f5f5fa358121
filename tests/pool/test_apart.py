"""A job that has crashed gets a fresh worker; one that others took down too often, one alone."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, Completed, Crashed, NotStarted
from jobd.pool import apart

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]


async def test_after_a_crash_a_job_runs_in_a_worker_that_has_run_nothing(
    pool: "Pool", claim: MakeClaim
) -> None:
    await pool.run(claim("test.echo"))
    used = pool.worker

    outcome = await pool.run(claim("test.echo", crashes=1))

    assert isinstance(outcome, Completed)
    assert (pool.worker.worker_id, pool.worker.jobs_done) == (used.worker_id + 1, 1)


async def test_a_fresh_worker_is_used_as_it_is(pool: "Pool", claim: MakeClaim) -> None:
    first = pool.worker

    await pool.run(claim("test.echo", crashes=1))

    assert pool.worker.worker_id == first.worker_id


async def test_who_waits_for_a_fresh_worker_has_taken_its_slot(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(cpu_workers=2)
    await asyncio.gather(pool.run(claim("test.echo")), pool.run(claim("test.echo")))
    task = asyncio.create_task(pool.run(claim("test.echo", crashes=2)))
    await asyncio.wait([task], timeout=0)

    free, neighbour = pool.supervisor.free(), await pool.run(claim("test.echo"))

    assert free == {"cpu": 1, "io": 0}
    assert isinstance(neighbour, Completed)
    assert isinstance(await task, Completed)
    await pool.ready()


async def test_without_a_slot_it_is_not_started(pool: "Pool", claim: MakeClaim) -> None:
    await pool.begin(claim("test.honour"))

    assert await pool.supervisor.run(claim("test.echo", crashes=1)) == NotStarted()


async def test_an_async_job_that_lost_its_worker_too_often_runs_alone(
    io_pool: "Pool", claim: MakeClaim
) -> None:
    others = [await io_pool.begin(claim("test.asleep", lane="io")) for _ in range(2)]

    outcome = await io_pool.run(claim("test.asegfault", lane="io", released=3))

    assert isinstance(outcome, Crashed)
    assert [other.done() for other in others] == [False, False]


async def test_those_that_run_alone_do_so_one_after_another(
    io_pool: "Pool", claim: MakeClaim
) -> None:
    claims = [claim("test.aecho", lane="io", released=3) for _ in range(5)]
    tasks = [asyncio.create_task(io_pool.run(one)) for one in claims]
    await asyncio.wait(tasks, timeout=0)
    free = io_pool.supervisor.free()

    outcomes = await asyncio.gather(*tasks)

    assert free == {"cpu": 0, "io": 5}
    assert {type(outcome) for outcome in outcomes} == {Completed}
    assert io_pool.supervisor.free() == io_pool.size


@pytest.mark.parametrize(("lane", "kind"), [("cpu", "test.echo"), ("io", "test.aecho")])
async def test_who_waits_can_be_cancelled_and_drained(
    start_pool: "StartPool", claim: MakeClaim, lane: str, kind: str
) -> None:
    pool = await start_pool(cpu_workers=2, io_workers=1)
    await asyncio.gather(*(pool.run(claim("test.echo")) for _ in range(2)))
    claims = [claim(kind, lane=lane, crashes=1, released=3) for _ in range(2)]
    tasks = [asyncio.create_task(pool.run(one)) for one in claims]
    await asyncio.wait(tasks, timeout=0)

    assert not pool.supervisor.cancel(claims[0].token)  # it has ended
    await pool.supervisor.drain(0)

    assert [await task for task in tasks] == [CancelledByRequest(), NotStarted()]


async def test_who_waits_can_be_recalled_and_who_runs_cannot(
    pool: "Pool", claim: MakeClaim
) -> None:
    await pool.run(claim("test.echo"))
    waiting = claim("test.echo", crashes=1)
    task = asyncio.create_task(pool.run(waiting))
    await asyncio.wait([task], timeout=0)

    assert pool.supervisor.recall(waiting.token)
    assert await task == NotStarted()
    assert not pool.supervisor.recall(waiting.token)
    await pool.ready()


async def test_nobody_waits_for_ever(
    io_pool: "Pool", claim: MakeClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "WAIT_LIMIT_S", 0.0)

    outcome = await io_pool.run(claim("test.aecho", lane="io", released=3))

    assert outcome == NotStarted()
    assert io_pool.supervisor.free() == io_pool.size
