"""A worker that has served long enough is replaced between jobs; no job notices."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, Completed

if TYPE_CHECKING:
    from tests.pool.conftest import StartPool

MakeClaim = Callable[..., Claim]


@pytest.mark.parametrize("spare", [True, False])
async def test_a_worker_is_replaced_after_about_so_many_jobs(
    start_pool: "StartPool", claim: MakeClaim, spare: bool
) -> None:
    pool = await start_pool(max_jobs_per_worker=10, spare=spare)

    served: dict[int, int] = {}
    while len(served) < 4:
        outcome = await pool.run(claim("test.process"))
        assert isinstance(outcome, Completed)
        assert outcome.result is not None
        pid = msgspec.json.decode(outcome.result.body or b"")["pid"]
        served[pid] = served.get(pid, 0) + 1

    *full, _last = served.values()
    assert all(jobs >= 9 for jobs in full)
    assert spare or all(jobs <= 11 for jobs in full)  # else more, until the next one is ready


async def test_a_worker_with_too_much_memory_is_replaced(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(max_worker_rss_bytes=100 << 20)
    first = pool.worker.worker_id

    modest = await pool.run(claim("test.keep", {"mb": 10}))
    kept = pool.worker.worker_id
    greedy = await pool.run(claim("test.keep", {"mb": 110}))
    await pool.listener.until(lambda: pool.worker.worker_id != first)  # a moment later, at rest

    assert [type(outcome) for outcome in (modest, greedy)] == [Completed, Completed]
    assert kept == first
    await pool.ready()


async def test_an_io_worker_that_is_due_takes_no_more_and_leaves_when_it_is_empty(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(cpu_workers=0, io_workers=1, io_concurrency=5, max_jobs_per_worker=1)
    long = await pool.begin(running := claim("test.asleep", lane="io"))

    first = await pool.run(claim("test.aecho", lane="io"))
    await pool.listener.until(lambda: pool.supervisor.free()["io"] == 4)  # as many as ever
    states = [worker.state for worker in pool.supervisor.workers()]
    second = await pool.run(claim("test.aecho", lane="io"))
    going_on = not long.done()
    pool.supervisor.cancel(running.token)

    assert [type(outcome) for outcome in (first, second)] == [Completed, Completed]
    assert states == ["retiring", "ready"]
    assert going_on
    assert isinstance(await long, CancelledByRequest)
    await pool.ready()


async def test_what_a_retiring_worker_runs_can_be_drained(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(cpu_workers=0, io_workers=1, max_jobs_per_worker=1)
    long = await pool.begin(claim("test.asleep", lane="io"))
    await pool.run(claim("test.aecho", lane="io"))

    await asyncio.wait_for(pool.supervisor.drain(0), timeout=10)

    assert long.done()
