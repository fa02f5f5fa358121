"""What living processes use, as /proc says it; None or 0 of one that is gone.

A worker is the subreaper of all that it starts, so whatever its job does, a process of the
job is a descendant of the worker for as long as the worker lives: found without a look at
the other processes of the machine, where the kernel lists children.

Not here: what follows from it (supervisor.py, recycling.py).
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _USER_TICKS, _SYSTEM_TICKS = 1, 11, 12
"""Fields of /proc/PID/stat, counted from the state on."""

Children = Callable[[int], list[int]]


def rss_bytes(pid: int) -> int | None:
    """Return the memory that a process has in use."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_bytes().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def tree_rss_bytes(pid: int) -> int:
    """Return the memory of a worker and of everything that it started, each process in full."""
    children = listed_children if _lists_children() else searched_children()
    return sum(rss_bytes(one) or 0 for one in _descent(pid, children))


def has_children(pid: int) -> bool:
    """Whether a worker has anything running that it started."""
    children = listed_children if _lists_children() else searched_children()
    return bool(children(pid))


def peak_rss_bytes(pid: int) -> int | None:
    """Return the most that a process has had in use since its peak was last set back."""
    try:
        status = (_PROC / str(pid) / "status").read_bytes()
        return int(status.partition(b"VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):  # a process that is about to go has no memory any more
        return None


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time that a process has used, without its children's."""
    try:
        fields = _stat(pid)
        ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
    except (OSError, IndexError):
        return None
    return ticks / os.sysconf("SC_CLK_TCK")


def _descent(pid: int, children: Children) -> Iterator[int]:
    waiting, seen = [pid], {pid}
    while waiting:
        yield (found := waiting.pop())
        # a process may move from one list to another meanwhile
        new = [child for child in children(found) if child not in seen]
        seen.update(new)
        waiting += new


@functools.cache
def _lists_children() -> bool:
    own = str(os.getpid())
    return (_PROC / own / "task" / own / "children").exists()


def listed_children(pid: int) -> list[int]:
    """Return a process's children, as the kernel lists them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_bytes().split())
    return found


def searched_children() -> Children:
    """Return the same from a look at all processes, for a kernel that lists no children."""
    by_parent: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                parent = int(_stat(int(entry.name))[_PARENT])
                by_parent.setdefault(parent, []).append(int(entry.name))
    return lambda pid: by_parent.get(pid, [])


def _stat(pid: int) -> list[bytes]:
    # the name in front may hold spaces and parentheses
    return (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
