"""One worker more than there are slots stands by, and takes the place of one that is gone."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Completed, Crashed

if TYPE_CHECKING:
    from jobd.pool.supervisor import WorkerInfo
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]


async def standing_by(pool: "Pool") -> int:
    """The spare's id, once it is ready."""
    await pool.listener.until(lambda: bool(pool.workers("spare")))
    (spare,) = pool.workers("spare")
    return spare.worker_id


async def test_a_spare_takes_no_job(start_pool: "StartPool", claim: MakeClaim) -> None:
    pool = await start_pool(spare=True)
    await standing_by(pool)

    await pool.begin(claim("test.honour"))

    assert pool.supervisor.free() == {"cpu": 0, "io": 0}
    assert [len(worker.tokens) for worker in pool.supervisor.workers()] == [1, 0]


async def test_a_spare_takes_the_place_of_a_worker_that_died(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(spare=True)
    spare = await standing_by(pool)

    outcome = await pool.run(claim("test.segfault"))
    died_s = time.monotonic()
    after = await pool.run(claim("test.echo"))
    took_s = time.monotonic() - died_s

    assert isinstance(outcome, Crashed)
    assert isinstance(after, Completed)
    assert [worker.worker_id for worker in pool.workers("ready")] == [spare]
    assert took_s < 1  # a bound that is promised, with room for a busy machine
    assert await standing_by(pool) == spare + 1


async def test_a_job_that_crashed_runs_in_the_spare_and_the_used_worker_leaves(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(spare=True)
    spare = await standing_by(pool)
    await pool.run(claim("test.echo"))

    outcome = await pool.run(claim("test.echo", crashes=1))

    assert isinstance(outcome, Completed)
    assert [(w.worker_id, w.jobs_done) for w in pool.workers("ready")] == [(spare, 1)]
    assert await standing_by(pool) == spare + 1


async def test_a_spare_that_dies_is_replaced(start_pool: "StartPool", claim: MakeClaim) -> None:
    pool = await start_pool(spare=True)
    spare = await standing_by(pool)
    (worker,) = pool.workers("spare")

    os.kill(worker.pid, signal.SIGKILL)
    await pool.listener.until(lambda: spare not in [w.worker_id for w in pool.workers("spare")])

    assert await standing_by(pool) == spare + 1
    assert isinstance(await pool.run(claim("test.echo")), Completed)


async def starting(pool: "Pool", before: int) -> "WorkerInfo":
    """Stop the spare that was hired last, before it can be ready; no event tells of it."""
    while not (hired := [w for w in pool.workers("starting") if w.worker_id > before]):
        turn = asyncio.get_running_loop().create_future()
        turn.get_loop().call_soon(turn.set_result, None)
        await turn
    os.kill(hired[0].pid, signal.SIGSTOP)
    return hired[0]


async def test_spares_that_are_taken_before_they_are_ready_have_not_died(
    start_pool: "StartPool", caplog: pytest.LogCaptureFixture
) -> None:
    """Else nobody would stand by for the growing time that is for workers which do not start."""
    pool = await start_pool(spare=True)
    (working,) = pool.workers("ready")
    spare = await starting(pool, working.worker_id)

    for _ in range(4):
        os.kill(working.pid, signal.SIGKILL)
        working, spare = spare, await starting(pool, spare.worker_id)
        os.kill(working.pid, signal.SIGCONT)
        await pool.listener.until(partial(is_ready, pool, working.worker_id))
    os.kill(spare.pid, signal.SIGCONT)

    assert await standing_by(pool) == spare.worker_id
    assert not [said for said in caplog.messages if "before they are ready" in said]


def is_ready(pool: "Pool", worker_id: int) -> bool:
    return worker_id in [worker.worker_id for worker in pool.workers("ready")]


async def test_without_cpu_workers_nobody_stands_by(start_pool: "StartPool") -> None:
    pool = await start_pool(spare=True, cpu_workers=0, io_workers=1)

    assert [worker.lane for worker in pool.supervisor.workers()] == ["io"]
