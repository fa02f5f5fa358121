"""A handler that keeps the loop of an io worker pays for it, and its neighbours do not."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Bystander, CancelledByRequest, Completed, Crashed
from jobd.pool import apart
from jobd.pool.supervisor import AttemptLimits

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]


@pytest.fixture
async def short_pool(start_pool: "StartPool") -> "Pool":
    """One io worker whose loop may stand still for two seconds."""
    return await start_pool(cpu_workers=0, io_workers=1, loop_stall_s=2.0)


async def test_a_job_that_blocks_the_loop_is_charged_and_no_other(
    short_pool: "Pool", claim: MakeClaim
) -> None:
    others = [await short_pool.begin(claim("test.asleep", lane="io")) for _ in range(2)]

    blocker = await short_pool.run(claim("test.ablock", lane="io"))

    assert isinstance(blocker, Crashed)
    assert blocker.code == "loop_blocked"
    assert blocker.message.startswith("The loop that it shares with other jobs did not come round")
    assert [type(await other) for other in others] == [Bystander, Bystander]


async def test_while_the_loop_is_kept_no_limit_of_a_neighbour_fires(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    # on a busy machine the blocker may begin late, and until it has, the limits count
    pool = await start_pool(cpu_workers=0, io_workers=1, loop_stall_s=5.0)
    pool.limits["test.asleep"] = AttemptLimits(heartbeat_timeout_s=4.0)
    timed = await pool.begin(claim("test.asleep", lane="io", timeout_s=4.0))
    silent = await pool.begin(claim("test.asleep", lane="io"))

    blocker = await pool.run(claim("test.ablock", lane="io"))

    assert isinstance(blocker, Crashed)
    assert [type(await other) for other in (timed, silent)] == [Bystander, Bystander]


async def test_the_limit_of_the_one_that_keeps_it_fires(
    short_pool: "Pool", claim: MakeClaim
) -> None:
    other = await short_pool.begin(claim("test.asleep", lane="io"))
    task = await short_pool.begin(running := claim("test.ablock", lane="io"))

    short_pool.supervisor.cancel(running.token)

    assert isinstance(await task, CancelledByRequest)
    assert isinstance(await other, Bystander)


async def test_a_worker_that_stands_still_while_no_job_runs_charges_nobody(
    short_pool: "Pool", claim: MakeClaim
) -> None:
    tasks = [await short_pool.begin(claim("test.asleep", lane="io")) for _ in range(2)]
    await short_pool.run(claim("test.aecho", lane="io"))  # so the steps that began those are over

    os.kill(short_pool.worker.pid, signal.SIGSTOP)

    assert {type(await task) for task in tasks} == {Bystander}


async def test_a_loop_that_waits_is_not_one_that_stands_still(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(cpu_workers=0, io_workers=1, loop_stall_s=0.8)
    task = await pool.begin(running := claim("test.asleep", lane="io"))

    await asyncio.wait([task], timeout=2.5)
    pool.supervisor.cancel(running.token)

    assert isinstance(await task, CancelledByRequest)


async def test_a_kind_that_cost_an_io_worker_runs_in_one_of_its_own_for_a_while(
    io_pool: "Pool", claim: MakeClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await io_pool.begin(innocent := claim("test.asleep", lane="io"))
    await io_pool.run(claim("test.asegfault", lane="io"))
    await other
    other = await io_pool.begin(innocent := claim("test.asleep", lane="io"))

    again = await asyncio.gather(
        io_pool.run(claim("test.asegfault", lane="io")), io_pool.run(claim("test.aecho", lane="io"))
    )

    assert [type(outcome) for outcome in again] == [Crashed, Completed]
    assert not other.done()
    io_pool.supervisor.cancel(innocent.token)
    await other


async def test_after_that_while_its_worker_leaves(
    io_pool: "Pool", claim: MakeClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "QUARANTINE_S", 1.0)
    ignoring = await io_pool.begin(running := claim("test.aignore", lane="io"))
    io_pool.supervisor.cancel(running.token)
    await ignoring
    await io_pool.ready()

    kept = await io_pool.begin(again := claim("test.aignore", lane="io"))
    apart_from_others = len(io_pool.supervisor.workers())
    io_pool.supervisor.cancel(again.token)
    await kept
    await io_pool.listener.until(lambda: len(io_pool.workers("ready")) == 1)

    assert apart_from_others == 2
