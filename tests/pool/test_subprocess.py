"""`ctx.subprocess` in real workers: its lines are its job's, and it ends with its job."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, Completed, Crashed, Failed, Interrupted

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]

lanes = pytest.mark.parametrize(
    ("kind", "lane"), [("test.program", "cpu"), ("test.aprogram", "io")]
)

STAY = "echo $$; read line < /dev/zero"
TREE = "sleep 1000 & echo $$ $!; wait"
STUBBORN = "trap '' TERM; echo $$; while :; do sleep 1000; done"


@pytest.fixture
async def both_lanes(start_pool: "StartPool") -> "Pool":
    return await start_pool(io_workers=1, kill_grace_s=5)


def argv(script: str) -> dict[str, list[str]]:
    return {"argv": ["/bin/sh", "-c", script]}


async def begun(pool: "Pool", claim: Claim) -> tuple[asyncio.Task[object], list[int]]:
    """Run a claim and wait until its program has told its process ids."""
    task: asyncio.Task[object] = asyncio.create_task(pool.run(claim))
    await pool.listener.until(lambda: bool(pool.listener.messages(claim)))
    (told,) = pool.listener.messages(claim)
    return task, [int(pid) for pid in (told or "").split()]


def dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def children_of(parent: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if parent_of(pid) == parent]


@lanes
async def test_its_lines_are_in_the_log_of_its_job(
    both_lanes: "Pool", claim: MakeClaim, kind: str, lane: str
) -> None:
    claims = [claim(kind, argv(f"echo {n}; echo bad {n} >&2"), lane=lane) for n in range(3)]

    outcomes = await asyncio.gather(*(both_lanes.run(one) for one in claims))

    assert [type(outcome) for outcome in outcomes] == [Completed] * 3
    for n, one in enumerate(claims):
        assert both_lanes.listener.written(one, "stdout") == [str(n)]
        assert both_lanes.listener.written(one, "stderr") == [f"bad {n}"]


@lanes
async def test_lines_come_as_they_are_written_and_a_cancel_ends_the_tree(
    both_lanes: "Pool", claim: MakeClaim, kind: str, lane: str
) -> None:
    pids = {worker.pid for worker in both_lanes.supervisor.workers()}
    task, told = await begun(both_lanes, running := claim(kind, argv(TREE), lane=lane))

    both_lanes.supervisor.cancel(running.token)

    assert isinstance(await task, CancelledByRequest)
    assert [dead(pid) for pid in told] == [True, True]
    assert both_lanes.listener.written(running) == [f"{told[0]} {told[1]}"]
    assert {worker.pid for worker in both_lanes.supervisor.workers()} == pids


@lanes
async def test_who_ignores_sigterm_is_killed_and_its_worker_lives_on(
    both_lanes: "Pool", claim: MakeClaim, kind: str, lane: str
) -> None:
    pids = {worker.pid for worker in both_lanes.supervisor.workers()}
    task, told = await begun(both_lanes, running := claim(kind, argv(STUBBORN), lane=lane))

    both_lanes.supervisor.cancel(running.token)

    assert isinstance(await task, CancelledByRequest)
    assert dead(told[0])
    assert {worker.pid for worker in both_lanes.supervisor.workers()} == pids


@lanes
async def test_it_ends_with_its_time(
    both_lanes: "Pool", claim: MakeClaim, kind: str, lane: str
) -> None:
    task, told = await begun(both_lanes, claim(kind, argv(TREE), lane=lane, timeout_s=0.5))

    outcome = await task

    assert isinstance(outcome, Failed)
    assert outcome.error.code == "timeout"
    assert dead(told[0])


@lanes
async def test_it_dies_with_its_worker(
    both_lanes: "Pool", claim: MakeClaim, kind: str, lane: str
) -> None:
    task, told = await begun(both_lanes, claim(kind, argv(STAY), lane=lane))
    (worker,) = (one for one in both_lanes.supervisor.workers() if one.lane == lane)
    parent = parent_of(told[0])

    os.kill(worker.pid, signal.SIGKILL)

    assert parent == worker.pid
    assert isinstance(await task, Crashed)
    assert dead(told[0])


@lanes
async def test_a_drain_ends_it(both_lanes: "Pool", claim: MakeClaim, kind: str, lane: str) -> None:
    task, told = await begun(both_lanes, claim(kind, argv(TREE), lane=lane))

    await both_lanes.supervisor.drain(0)

    assert isinstance(await task, Interrupted)
    assert dead(told[0])


@lanes
async def test_nothing_of_it_is_left_in_a_worker_that_lives_on(
    both_lanes: "Pool", claim: MakeClaim, kind: str, lane: str
) -> None:
    script = "sh -c 'sleep 1000 & wait' & echo; exit 0"

    outcome = await both_lanes.run(claim(kind, argv(script), lane=lane))

    (worker,) = (one for one in both_lanes.supervisor.workers() if one.lane == lane)
    assert isinstance(outcome, Completed)
    assert children_of(worker.pid) == []
