"""A worker's control group: what is written into it, and that it ends all that is in it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Crashed
from jobd.pool.cgroup import Cgroups, Group

if TYPE_CHECKING:
    from tests.pool.conftest import StartPool

MakeClaim = Callable[..., Claim]

HIDDEN = "import os; os.setsid(); print(flush=True); input()"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A control group of this test's own."""
    roots = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
    root = next(root for root in roots if (root / "cgroup.procs").exists())
    folder = root / f"jobd-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    for part in folder.glob("worker-*"):
        part.rmdir()
    folder.rmdir()


@pytest.mark.needs("root", "cgroup2")
def test_one_write_ends_all_that_is_in_a_group(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HIDDEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        group = Cgroups(folder).open(1, child.pid)
        assert group is not None
        assert child.stdout is not None
        child.stdout.readline()

        group.kill()

        assert child.wait() == -9
    group.close()
    assert list(folder.glob("worker-*")) == []


@pytest.mark.needs("root", "cgroup2")
async def test_workers_live_in_groups_of_their_own(
    start_pool: "StartPool", claim: MakeClaim, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cgroups, "delegated", lambda: Cgroups(folder))
    pool = await start_pool()
    members = (folder / "worker-1" / "cgroup.procs").read_text().split()
    first = pool.worker.pid

    outcome = await pool.run(claim("test.kill"))
    await pool.ready()

    assert members == [str(first)]
    assert isinstance(outcome, Crashed)
    assert not (folder / "worker-1").exists()
    assert (folder / "worker-2").exists()
    await pool.supervisor.close()


def test_a_limit_is_written_and_lifted(tmp_path: Path) -> None:
    group = Group(tmp_path / "worker-1")
    events = tmp_path / "worker-1" / "memory.events"
    events.write_text("low 0\noom 2\noom_kill 2\n")

    group.limit(1 << 20)
    limits = [
        (tmp_path / "worker-1" / name).read_text() for name in ("memory.max", "memory.swap.max")
    ]
    within = group.was_over()
    events.write_text("low 0\noom 3\noom_kill 3\n")
    over = group.was_over()
    group.limit(None)

    assert limits == ["1048576", "0"]
    assert (within, over) == (False, True)
    assert (tmp_path / "worker-1" / "memory.max").read_text() == "max"


def test_a_group_that_was_not_given_away_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")

    assert Cgroups.delegated(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["cgroup.controllers"]


def test_a_group_that_was_given_away_is_divided(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    os.setxattr(tmp_path, "user.delegate", b"1")

    assert Cgroups.delegated(tmp_path) is not None
    assert (tmp_path / "daemon" / "cgroup.procs").read_text() == str(os.getpid())
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"


def test_without_the_memory_controller_nothing_is_divided(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    os.setxattr(tmp_path, "user.delegate", b"1")

    assert Cgroups.delegated(tmp_path) is None
