"""A control group for each worker, where systemd has given jobd its own to divide (Delegate=yes).

It makes two things certain that hold well enough without: a memory limit is the kernel's,
and one write ends all that a worker started, whatever that did to hide. Whoever has not
been given a group by name is left where it is: dividing it would move the daemon, and a
container's or a shell's group is not jobd's to divide.

Not here: the limit by samples (memory.py), the end by looking through /proc (tree.py).
"""

import contextlib
import logging
import os
from pathlib import Path

_DAEMON = "daemon"
"""The daemon's own part: a group with parts may hold no process itself."""
_GIVEN = ("user.delegate", "trusted.delegate")
"""Extended attributes with which systemd says that a group was given away."""
_NO_LIMIT = "max"

_LOG = logging.getLogger(__name__)


class Group:
    """One worker's group. Nothing here raises OSError but the constructor and add()."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._write("memory.oom.group", "1")
        self._kills = 0

    def add(self, pid: int) -> None:
        """Move a process in, before it has started any other."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def limit(self, memory_bytes: int | None) -> None:
        """Limit what all of it may use together; None lifts the limit."""
        self._kills = self._oom_kills()
        limited = memory_bytes is not None
        self._write("memory.swap.max", "0" if limited else _NO_LIMIT)
        self._write("memory.max", str(memory_bytes) if limited else _NO_LIMIT)

    def was_over(self) -> bool:
        """Whether the kernel has ended a process for the limit that was set last."""
        return self._oom_kills() > self._kills

    def kill(self) -> None:
        """SIGKILL all that is in it."""
        self._write("cgroup.kill", "1")

    def close(self) -> None:
        """Remove it; it has to be empty."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _oom_kills(self) -> int:
        with contextlib.suppress(OSError):
            for line in (self._folder / "memory.events").read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0

    def _write(self, name: str, value: str) -> None:
        # not every kernel has every file: what it lacks is done by the pool's own means
        with contextlib.suppress(OSError):
            (self._folder / name).write_text(value)


class Cgroups:
    """The daemon's group, divided."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def delegated(cls, folder: Path | None = None) -> "Cgroups | None":
        """Divide the group that this process is in; None if it was not given to be divided."""
        folder = folder or _own_folder()
        if folder is None or not _was_given(folder):
            return None
        try:
            if "memory" not in (folder / "cgroup.controllers").read_text().split():
                return None
            (folder / _DAEMON).mkdir(exist_ok=True)
            (folder / _DAEMON / "cgroup.procs").write_text(str(os.getpid()))
            (folder / "cgroup.subtree_control").write_text("+memory")
        except OSError as exc:
            _LOG.warning("The service's control group cannot be divided: %s", exc)
            return None
        return cls(folder)

    def open(self, worker_id: int, pid: int) -> Group | None:
        """Return a new group with this worker in it; None if that cannot be."""
        try:
            group = Group(self._folder / f"worker-{worker_id}")
            group.add(pid)
        except OSError as exc:
            _LOG.warning("A worker has no control group: %s worker=%d", exc, worker_id)
            return None
        return group


def _own_folder() -> Path | None:
    """Return where this process's group of the second hierarchy stands."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                return Path("/sys/fs/cgroup") / line.removeprefix("0::/")
    return None


def _was_given(folder: Path) -> bool:
    for name in _GIVEN:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False
