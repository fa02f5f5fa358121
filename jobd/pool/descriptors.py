"""How many files a process may have open: more for the daemon, as before for what it starts.

A worker gets the old limit back, because code that uses select(2) breaks over descriptors
above 1,023, and because some programs close each number up to the limit.

Not here: how many the daemon needs (daemon/confines.py).
"""

import contextlib
import resource

_before: tuple[int, int] | None = None
"""The limits that this process was started with, once they are others: it has but one."""


def allow(wanted: int) -> int:
    """Raise this process's soft limit to `wanted`, or as far as it may be; return what it is."""
    global _before  # noqa: PLW0603 - the limit is the process's too
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= wanted:
        return wanted if soft == unlimited else soft
    _before = _before or (soft, hard)
    reached = wanted if hard == unlimited else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (reached, hard))
    return reached


def give_back(pid: int) -> None:
    """Give a child the limits that this process was started with; nothing if it is gone."""
    if _before is not None:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, _before)
