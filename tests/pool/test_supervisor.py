"""The pool keeps its size, and leaves nothing behind."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Completed

if TYPE_CHECKING:
    from tests.pool.conftest import StartPool

MakeClaim = Callable[..., Claim]

# an interpreter that finds this dies before its main runs, as often as the file says
DIES_AT_FIRST = """
import os
from pathlib import Path
lives = Path(__file__).with_name("lives")
left = int(lives.read_text())
lives.write_text(str(left - 1))
if left > 0:
    os._exit(1)
"""


async def test_workers_that_die_before_they_are_ready_are_replaced(
    start_pool: "StartPool", claim: MakeClaim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES_AT_FIRST)
    (tmp_path / "lives").write_text("2")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    pool = await start_pool()

    assert pool.worker.worker_id == 3
    assert isinstance(await pool.run(claim("test.echo")), Completed)


async def test_what_is_said_of_the_workers(start_pool: "StartPool", claim: MakeClaim) -> None:
    pool = await start_pool(cpu_workers=2, io_workers=1, io_concurrency=7)
    task = await pool.begin(running := claim("test.honour"))
    free = pool.supervisor.free()
    workers = {worker.worker_id: worker for worker in pool.supervisor.workers()}

    pool.supervisor.cancel(running.token)
    await task

    assert free == {"cpu": 1, "io": 7}
    assert [(worker.lane, worker.state) for worker in workers.values()] == [
        ("cpu", "ready"),
        ("cpu", "ready"),
        ("io", "ready"),
    ]
    assert workers[1].tokens == (running.token,)


async def test_a_pool_can_be_closed_before_it_is_ready(start_pool: "StartPool") -> None:
    pool = await start_pool(cpu_workers=0)
    busy = await start_pool(cpu_workers=3, io_workers=2)

    await pool.supervisor.close()
    await busy.supervisor.close()
    await busy.supervisor.close()

    assert busy.supervisor.workers() == []


async def test_a_thousand_jobs_one_after_another(start_pool: "StartPool", claim: MakeClaim) -> None:
    pool = await start_pool()
    first = pool.worker

    outcomes = [await pool.run(claim("test.echo", {"n": n})) for n in range(1000)]

    assert {type(outcome) for outcome in outcomes} == {Completed}
    assert (pool.worker.pid, pool.worker.jobs_done) == (first.pid, 1000)
    assert os.listdir(pool.scratch.parent) == ["workers.lock"]  # noqa: PTH208 - names


def group_of(pid: int) -> str | None:
    """Return what the kernel says of the group that a process is scheduled in, if it has any."""
    path = Path(f"/proc/{pid}/autogroup")
    return path.read_text() if path.exists() else None


@pytest.mark.needs("root")
async def test_a_worker_gives_way_where_sessions_are_scheduled_as_groups(
    start_pool: "StartPool",
) -> None:
    pool = await start_pool()

    group = group_of(pool.worker.pid)

    assert os.getpriority(os.PRIO_PROCESS, pool.worker.pid) >= 5
    assert group is None or "nice 5" in group
