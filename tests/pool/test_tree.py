"""What is ended, and above all what is not: nothing but the marked and a worker's own session."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobd.pool import linux, tree

HOST = Path(__file__).parents[1] / "support" / "pool_host.py"
RUN = f"tree{os.getpid()}"
"""Part of every mark here: other runs on this machine must not be reached."""
NO_SESSION = 2**30
"""Above the highest pid there can be, so nobody's session."""


def lives(pid: int) -> bool:
    try:
        return tree.Sighting(pid).state != "Z"
    except OSError:
        return False


@contextmanager
def marked(mark: str) -> Iterator[int]:
    """A process of ours with a mark, up and waiting."""
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, tree.MARK: mark},
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid


def orphans(folder: Path) -> list[int]:
    """What a daemon's process leaves that is killed: a worker, dying, and two of its helpers."""
    command = [sys.executable, str(HOST), str(folder), RUN]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        pids = [int(pid) for pid in host.stdout.readline().split()]
        host.kill()
    return pids


async def test_after_a_kill_of_the_daemon_all_that_it_started_is_ended(tmp_path: Path) -> None:
    linux.become_subreaper()  # so that the orphans come here, and can be seen to go
    worker, *children = orphans(tmp_path)

    alive = [lives(pid) for pid in children]
    await tree.end_predecessors(RUN, 8)

    assert alive == [True, True]
    assert [lives(pid) for pid in (worker, *children)] == [False, False, False]
    with (tmp_path / "workers.lock").open("w") as lock:  # no worker holds it any more
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("database", "start", "ended"),
    [(f"{RUN}.p", 8, 1), (f"{RUN}.p", 7, 0), (f"{RUN}.p", 6, 0), (f"{RUN}.other", 8, 0)],
)
async def test_only_earlier_starts_on_the_same_database_are_ended(
    database: str, start: int, ended: int
) -> None:
    with marked(f"{RUN}.p:7:1") as pid:
        assert await tree.end_predecessors(database, start) == ended
        assert lives(pid) == (not ended)


@pytest.mark.parametrize(("mark", "ended"), [(f"{RUN}.m:9:1", True), (f"{RUN}.m:9:11", False)])
async def test_marks_are_compared_whole(mark: str, ended: bool) -> None:
    with marked(f"{RUN}.m:9:1") as pid:
        await tree.end(session=NO_SESSION, mark=mark)

        assert lives(pid) == (not ended)


@pytest.mark.parametrize("session", [-1, 0, 1, os.getsid(0)])
async def test_a_session_that_no_worker_leads_is_refused(session: int) -> None:
    """Session 0 once meant every process whose session was out of sight."""
    with pytest.raises(ValueError, match="no worker leads"):
        await tree.end(session=session, mark=f"{RUN}.none:1:1")


async def test_nothing_is_ended_for_want_of_a_mark() -> None:
    with pytest.raises(ValueError, match="has a mark"):
        await tree.end(session=NO_SESSION, mark="")
    with pytest.raises(ValueError, match="has an id"):
        await tree.end_predecessors("", 8)
