"""Time limit, cancel and drain: asked, told, killed; a reply that is there wins."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import (
    Bystander,
    CancelledByRequest,
    Completed,
    Failed,
    Interrupted,
    NotStarted,
)
from jobd.pool.tree import Sighting

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]


def lives(pid: int) -> bool:
    try:
        return Sighting(pid).state != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("kind", "lane", "worker_lives"),
    [
        ("test.honour", "cpu", True),
        ("test.sleep", "cpu", True),
        ("test.spin", "cpu", True),
        ("test.gil", "cpu", True),
        ("test.deaf", "cpu", False),
        ("test.ignore_term", "cpu", False),
        ("test.asleep", "io", True),
        ("test.ablock", "io", False),
        ("test.aignore", "io", False),
    ],
)
async def test_a_time_limit_ends_whatever_runs(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str, worker_lives: bool
) -> None:
    pool = await start_pool(cpu_workers=int(lane == "cpu"), io_workers=int(lane == "io"))
    first = pool.worker

    outcome = await pool.run(claim(kind, {"seconds": 60}, lane=lane, timeout_s=0.3))
    await pool.ready()

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("timeout", True)
    assert (pool.worker.worker_id == first.worker_id) == worker_lives
    assert lives(first.pid) == worker_lives


@pytest.mark.parametrize("kind", ["test.honour", "test.spin", "test.ignore_term", "test.deaf"])
async def test_a_cancel_ends_what_runs(pool: "Pool", claim: MakeClaim, kind: str) -> None:
    task = await pool.begin(running := claim(kind))

    assert pool.supervisor.cancel(running.token)
    assert pool.supervisor.cancel(running.token)  # once more changes nothing

    assert isinstance(await task, CancelledByRequest)


async def test_an_async_handler_is_cancelled_alone(io_pool: "Pool", claim: MakeClaim) -> None:
    other = await io_pool.begin(claim("test.asleep", lane="io"))
    task = await io_pool.begin(running := claim("test.asleep", lane="io"))

    io_pool.supervisor.cancel(running.token)

    assert isinstance(await task, CancelledByRequest)
    assert not other.done()


async def test_the_neighbours_of_a_killed_async_handler_run_again_uncharged(
    io_pool: "Pool", claim: MakeClaim
) -> None:
    other = await io_pool.begin(claim("test.asleep", lane="io"))
    task = await io_pool.begin(running := claim("test.aignore", lane="io"))

    io_pool.supervisor.cancel(running.token)

    assert isinstance(await task, CancelledByRequest)
    assert isinstance(await other, Bystander)


async def test_nothing_that_a_killed_worker_started_is_left(pool: "Pool", claim: MakeClaim) -> None:
    task = await pool.begin(running := claim("test.grandchild"))
    (message,) = pool.listener.messages(running)
    children = [int(pid) for pid in str(message).split()]
    alive = [lives(pid) for pid in children]

    pool.supervisor.cancel(running.token)
    await task

    assert alive == [True, True]
    assert [lives(pid) for pid in children] == [False, False]


async def test_a_drain_waits_and_then_interrupts(start_pool: "StartPool", claim: MakeClaim) -> None:
    pool = await start_pool(cpu_workers=2, io_workers=1)
    tasks = [
        await pool.begin(claim("test.honour")),
        await pool.begin(claim("test.ignore_term")),
        await pool.begin(claim("test.asleep", lane="io")),
    ]
    patient = asyncio.create_task(pool.supervisor.drain(60))
    await asyncio.wait([patient], timeout=0)
    free, refused = pool.supervisor.free(), await pool.supervisor.run(claim("test.echo"))

    await pool.supervisor.drain(0)
    await patient

    assert free == {"cpu": 0, "io": 0}
    assert refused == NotStarted()
    assert {type(await task) for task in tasks} == {Interrupted}


async def test_a_drain_lets_a_job_end_in_its_time(pool: "Pool", claim: MakeClaim) -> None:
    pool.listener.storable.clear()
    task = asyncio.create_task(pool.run(claim("test.checkpoint")))
    await pool.listener.until(lambda: bool(pool.listener.checkpoints))

    draining = asyncio.create_task(pool.supervisor.drain(60))
    pool.listener.storable.set()
    await draining

    assert isinstance(await task, Completed)


async def test_a_job_that_was_not_taken_is_cancelled_without_a_kill(
    pool: "Pool", claim: MakeClaim
) -> None:
    pid = pool.worker.pid
    pool.halt()
    task = asyncio.create_task(pool.run(waiting := claim("test.echo")))
    await asyncio.wait([task], timeout=0)

    pool.supervisor.cancel(waiting.token)
    outcome = await task
    os.kill(pid, signal.SIGCONT)

    assert outcome == CancelledByRequest()
    assert isinstance(await pool.run(claim("test.echo")), Completed)
    assert (pool.worker.pid, pool.worker.jobs_done) == (pid, 1)


async def test_a_cancel_takes_back_only_its_own_job(io_pool: "Pool", claim: MakeClaim) -> None:
    io_pool.halt()
    claims = [claim("test.aecho", {"n": n}, lane="io") for n in range(3)]
    tasks = [asyncio.create_task(io_pool.run(one)) for one in claims]
    await asyncio.wait(tasks, timeout=0)

    io_pool.supervisor.cancel(claims[1].token)
    os.kill(io_pool.worker.pid, signal.SIGCONT)

    assert [type(await task) for task in tasks] == [Completed, CancelledByRequest, Completed]


async def test_a_drain_takes_back_what_was_not_taken(pool: "Pool", claim: MakeClaim) -> None:
    pool.halt()
    task = asyncio.create_task(pool.run(claim("test.echo")))
    await asyncio.wait([task], timeout=0)

    await pool.supervisor.drain(0)

    assert await task == NotStarted()


async def test_a_worker_that_takes_nothing_for_a_time_limit_is_replaced(
    pool: "Pool", claim: MakeClaim
) -> None:
    first = pool.worker
    pool.halt()

    outcome = await pool.run(claim("test.echo", timeout_s=0.1))
    await pool.ready()

    assert outcome == NotStarted()
    assert pool.worker.worker_id == first.worker_id + 1


async def test_a_reply_that_is_there_wins_over_a_cancel(pool: "Pool", claim: MakeClaim) -> None:
    pool.listener.storable.clear()
    task = asyncio.create_task(pool.run(running := claim("test.checkpoint")))
    await pool.listener.until(lambda: bool(pool.listener.checkpoints))
    pid = pool.worker.pid

    pool.supervisor.cancel(running.token)  # the handler waits for its checkpoint, then returns
    pool.listener.storable.set()

    assert isinstance(await task, Completed)
    assert pool.worker.pid == pid


async def test_a_stopped_worker_is_killed_all_the_same(pool: "Pool", claim: MakeClaim) -> None:
    task = await pool.begin(running := claim("test.honour"))
    pool.halt()

    pool.supervisor.cancel(running.token)

    assert isinstance(await task, CancelledByRequest)


async def test_closing_ends_what_runs(start_pool: "StartPool", claim: MakeClaim) -> None:
    pool = await start_pool(cpu_workers=2, io_workers=1)
    tasks = [
        await pool.begin(claim("test.ignore_term")),
        await pool.begin(claim("test.asleep", lane="io")),
    ]

    await pool.supervisor.close()

    assert {type(await task) for task in tasks} == {Interrupted}
    assert pool.supervisor.workers() == []
