"""A claim is given back only while it waits: once its worker has it, it runs."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, NotStarted

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]


async def test_one_that_runs_is_not_recalled(pool: "Pool", claim: MakeClaim) -> None:
    running = claim("test.honour")
    outcome = await pool.begin(running)

    recalled = pool.supervisor.recall(running.token)
    going_on = not outcome.done()
    pool.supervisor.cancel(running.token)

    assert (recalled, going_on) == (False, True)
    assert isinstance(await outcome, CancelledByRequest)


async def test_one_that_no_worker_has_taken_is_recalled(pool: "Pool", claim: MakeClaim) -> None:
    pool.halt()
    waiting = claim("test.echo")
    outcome = pool.supervisor.begin(waiting)

    recalled = pool.supervisor.recall(waiting.token)
    await asyncio.wait([outcome])

    assert (recalled, outcome.result()) == (True, NotStarted())


async def test_what_a_dead_io_worker_had_is_not_given_to_a_cpu_worker(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    """The soak found it: a cpu worker cannot run an io kind, which then counted as broken."""
    pool = await start_pool(cpu_workers=1, io_workers=1)
    (pid,) = [worker.pid for worker in pool.supervisor.workers() if worker.lane == "io"]
    pool.halt(pid)
    outcome = pool.supervisor.begin(claim("test.aecho", lane="io"))

    os.kill(pid, signal.SIGKILL)

    assert await outcome == NotStarted()
    assert pool.listener.missing == []
