"""What a daemon and its workers hold of the machine, as /proc shows it.

Nothing of jobd is imported, so that what jobd overlooks is not overlooked here too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Held(NamedTuple):
    """What one process holds."""

    descriptors: int
    threads: int


def held(pid: int) -> Held:
    """Return what the process holds now."""
    process = Path("/proc", str(pid))
    return Held(*(sum(1 for _ in (process / name).iterdir()) for name in ("fd", "task")))


def marked(instance: str) -> dict[int, str]:
    """Return the processes that carry the mark of a start of the daemon, and their workers' ids."""
    wanted = f"JOBD_WORKER={instance}:".encode()
    found = {}
    for pid in _pids():
        try:
            environ = Path("/proc", str(pid), "environ").read_bytes()
        except OSError:
            continue
        for entry in environ.split(b"\0"):
            if entry.startswith(wanted):
                found[pid] = entry[len(wanted) :].decode()
    return found


def children(pid: int) -> set[int]:
    """Return a process's children, dead ones that were not collected too."""
    found = set()
    for child in _pids():
        try:
            # the name in front may hold spaces and parentheses
            stat = Path("/proc", str(child), "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(stat[1]) == pid:
            found.add(child)
    return found


def _pids() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            yield int(entry.name)
