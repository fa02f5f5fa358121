"""A worker that dies takes down the job that it was running, and no other."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Bystander, Completed, Crashed, Interrupted, NotStarted

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]


@pytest.mark.parametrize(
    ("kind", "message", "evidence"),
    [
        ("test.segfault", "The worker was killed by SIGSEGV.", {"signal": "SIGSEGV"}),
        ("test.exit0", "The worker exited with code 0.", {"exit_code": 0}),
        ("test.kill", "The worker was killed by SIGKILL.", {"signal": "SIGKILL"}),
        ("test.close", "The worker closed its connection.", {"signal": "SIGKILL"}),
    ],
)
async def test_a_crash_fails_its_job_alone_and_the_slot_comes_back(
    start_pool: "StartPool",
    claim: MakeClaim,
    kind: str,
    message: str,
    evidence: dict[str, Any],
) -> None:
    pool = await start_pool(cpu_workers=2, io_workers=1)
    others = [
        await pool.begin(claim("test.honour")),
        await pool.begin(claim("test.asleep", lane="io")),
    ]

    outcome = await pool.run(claim(kind))
    after = await pool.run(claim("test.echo"))

    assert isinstance(outcome, Crashed)
    assert outcome.message == message
    assert evidence.items() <= outcome.evidence.items()
    assert isinstance(after, Completed)
    assert [other.done() for other in others] == [False, False]
    await pool.supervisor.drain(0)
    assert {type(await other) for other in others} == {Interrupted}


async def test_what_is_no_frame_is_a_crash(pool: "Pool", claim: MakeClaim) -> None:
    outcome = await pool.run(claim("test.garbage"))

    assert isinstance(outcome, Crashed)
    assert outcome.message.startswith("The worker sent what is no frame")


async def test_of_many_jobs_in_an_io_worker_the_one_that_ran_is_charged(
    io_pool: "Pool", claim: MakeClaim
) -> None:
    others = [await io_pool.begin(claim("test.asleep", lane="io")) for _ in range(3)]

    culprit = await io_pool.run(claim("test.asegfault", lane="io"))

    assert isinstance(culprit, Crashed)
    assert {type(await other) for other in others} == {Bystander}


async def test_an_io_worker_that_dies_while_it_waits_charges_nobody(
    io_pool: "Pool", claim: MakeClaim
) -> None:
    tasks = [await io_pool.begin(claim("test.asleep", lane="io")) for _ in range(2)]
    await io_pool.run(claim("test.aecho", lane="io"))  # so the steps that began those are over

    os.kill(io_pool.worker.pid, signal.SIGKILL)

    assert {type(await task) for task in tasks} == {Bystander}


async def test_a_job_that_was_alone_in_an_io_worker_is_charged(
    io_pool: "Pool", claim: MakeClaim
) -> None:
    task = await io_pool.begin(claim("test.asleep", lane="io"))

    os.kill(io_pool.worker.pid, signal.SIGKILL)

    assert isinstance(await task, Crashed)


async def test_a_job_that_a_dead_worker_had_not_taken_was_not_started(
    pool: "Pool", claim: MakeClaim
) -> None:
    pid = pool.worker.pid
    pool.halt()
    task = asyncio.create_task(pool.run(waiting := claim("test.echo")))
    await asyncio.wait([task], timeout=0)  # it is in the pair now
    in_the_pair = pool.worker.tokens == (waiting.token,)

    os.kill(pid, signal.SIGKILL)

    assert in_the_pair
    assert await task == NotStarted()


async def test_an_idle_worker_that_dies_is_replaced(pool: "Pool", claim: MakeClaim) -> None:
    first = pool.worker

    os.kill(first.pid, signal.SIGKILL)
    await pool.listener.until(
        lambda: {worker.pid for worker in pool.supervisor.workers()} != {first.pid}
    )
    await pool.ready()

    assert pool.worker.worker_id == first.worker_id + 1
    assert isinstance(await pool.run(claim("test.echo")), Completed)
