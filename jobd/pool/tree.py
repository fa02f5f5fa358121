"""Everything that a worker started: found in /proc, ended, collected.

A process belongs to a worker when its session is the worker's (it was started as leader
of one), or when its environment carries the worker's mark: that finds those who called
setsid as well. Who leaves both, or became another user by a setuid program, escapes.

Invariants: a process is signalled through a pidfd that was opened before it was looked
at, so never by a pid that has been given away meanwhile. Only orphans that came to this
process are collected, never a child that process.py waits for.

Not here: the worker's own death and exit status (process.py).
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

MARK = "JOBD_WORKER"
"""Environment variable: `<database id>:<start number>:<worker>`."""

_ZOMBIE = "Z"
_INIT = 1
_CLEAN_SCANS = 2
"""A scan is no snapshot: a process may be started behind it and its parent end before it."""

_LOG = logging.getLogger(__name__)
_EXPECTED: set[int] = set()


def expect(pid: int) -> None:
    """Leave this child alone: somebody waits for it."""
    _EXPECTED.add(pid)


def collected(pid: int) -> None:
    """Forget a child that has been waited for."""
    _EXPECTED.discard(pid)


class Sighting:
    """One process as /proc showed it a moment ago; OSError when it is gone or not ours to see."""

    __slots__ = ("_folder", "parent", "session", "state")

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc", str(pid))
        # the name in front may hold spaces and parentheses
        fields = (self._folder / "stat").read_bytes().rpartition(b")")[2].split()
        self.state, self.parent, self.session = fields[0].decode(), int(fields[1]), int(fields[3])

    def mark(self) -> str | None:
        """Return the worker's mark in the environment it was started with."""
        prefix = f"{MARK}=".encode()
        for entry in (self._folder / "environ").read_bytes().split(b"\0"):
            if entry.startswith(prefix):
                return entry[len(prefix) :].decode("utf-8", "replace")
        return None


Belongs = Callable[[Sighting], bool]


async def end(session: int, mark: str) -> None:
    """SIGKILL all that belongs to a dead worker; return when none of it is left.

    Raises ValueError for a session that no worker can lead: 0 is that of every process
    whose session is out of sight, the kernel's own among them.
    """
    if session <= _INIT or session == os.getsid(0):
        raise ValueError(f"no worker leads session {session}")
    if not mark:
        raise ValueError("a worker has a mark")

    def belongs(process: Sighting) -> bool:
        return process.session == session or process.mark() == mark

    await _end_all(belongs)


async def end_predecessors(database_id: str, start_number: int) -> int:
    """SIGKILL what earlier starts of the daemon on this database left; return how many.

    What is marked by this start, or for another database, is left alone.
    """
    if not database_id:
        raise ValueError("a database has an id")

    def belongs(process: Sighting) -> bool:
        database, _, rest = (process.mark() or "").partition(":")
        start = rest.partition(":")[0]
        return database == database_id and start.isdecimal() and int(start) < start_number

    return await _end_all(belongs)


async def _end_all(belongs: Belongs) -> int:
    ended = clean = 0
    refused: set[int] = set()
    while clean < _CLEAN_SCANS:
        found = list(_open(belongs, refused))
        clean = 0 if found else clean + 1
        try:
            signalled = [pidfd for pid, pidfd in found if _killed(pid, pidfd, refused)]
            for pidfd in signalled:
                await _readable(pidfd)
        finally:
            for _, pidfd in found:
                os.close(pidfd)
        ended += len(signalled)
    _collect_orphans()
    return ended


def _open(belongs: Belongs, refused: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield pid and pidfd of each living process that belongs."""
    for pid in _pids():
        if pid not in refused and _is(pid, belongs):
            with contextlib.suppress(ProcessLookupError):
                pidfd = os.pidfd_open(pid)
                if _is(pid, belongs):  # still, so the pidfd is of the process that was seen
                    yield pid, pidfd
                else:
                    os.close(pidfd)


def _is(pid: int, belongs: Belongs) -> bool:
    try:
        process = Sighting(pid)
        return process.state != _ZOMBIE and belongs(process)
    except (OSError, ValueError, IndexError):  # it has just ended, or is another user's
        return False


def _killed(pid: int, pidfd: int, refused: set[int]) -> bool:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError:
        _LOG.warning("A process of a worker cannot be ended: it runs as another user. pid=%d", pid)
        refused.add(pid)
        return False
    return True


def _pids() -> list[int]:
    spared = (_INIT, os.getpid())
    names = (entry.name for entry in Path("/proc").iterdir())
    return [int(name) for name in names if name.isdecimal() and int(name) not in spared]


async def _readable(pidfd: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(pidfd, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(pidfd)


def _collect_orphans() -> None:
    """Wait for the dead among the orphans that came to this process, their subreaper.

    They have another session than this process. The few children that it starts itself in
    a session of their own are expected by somebody.
    """
    own, own_session = os.getpid(), os.getsid(0)
    for pid in _pids():
        with contextlib.suppress(OSError, ValueError, IndexError):
            process = Sighting(pid)
            orphan = process.parent == own and process.session != own_session
            if orphan and process.state == _ZOMBIE and pid not in _EXPECTED:
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
