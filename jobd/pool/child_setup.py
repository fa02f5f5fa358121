"""The first things that a child of the daemon does, before it imports a plugin.

Afterwards: it dies with the daemon, its helpers' orphans come to it, signals do what they
do by default, the kernel kills it rather than the daemon when memory runs out, and none
of its descriptors reaches a program that it starts or a process that it forks.
"""

import contextlib
import faulthandler
import os
import resource
import signal
from pathlib import Path

from jobd.pool import linux

ORPHANED = 70
"""Exit code of a child whose daemon is gone."""

_NICENESS = 5
_OOM_SCORE = b"500"
_FIRST_OWN_FD = 3
_PYTHONS_OWN = {signal.SIGPIPE, signal.SIGXFSZ}
"""Ignored by every Python program, which gets an exception instead."""


def settle_in(daemon_pid: int) -> None:
    """Do all of it. Does not return if the daemon is gone already."""
    linux.die_with_parent()
    if os.getppid() != daemon_pid:
        os._exit(ORPHANED)
    linux.become_subreaper()
    _default_signals()
    faulthandler.enable()
    os.nice(_NICENESS)
    # where sessions are scheduled as groups (sched(7), autogroup), a nice value counts only
    # among the processes of one: this is the group's own. Without privilege the kernel takes
    # one such change in 100 ms, and what comes too soon stays as it was.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICENESS), encoding="ascii")
    with contextlib.suppress(OSError):  # not everywhere may it be raised
        Path("/proc/self/oom_score_adj").write_bytes(_OOM_SCORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _keep_to_itself(_own_fds())


def _default_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - _PYTHONS_OWN - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):  # the C library keeps a few for itself
            signal.signal(number, signal.SIG_DFL)


def _own_fds() -> list[int]:
    fds = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            os.fstat(int(entry.name))
            fds.append(int(entry.name))
    return [fd for fd in fds if fd >= _FIRST_OWN_FD]


def _keep_to_itself(fds: list[int]) -> None:
    for fd in fds:
        os.set_inheritable(fd, False)  # noqa: FBT003 - the name says it
    os.register_at_fork(after_in_child=lambda: _give_up(fds))


def _give_up(fds: list[int]) -> None:
    """Take from a forked process what is its parent's: a copy of a socket could take its jobs.

    The numbers stay in use, because objects of the parent's memory still hold them.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in fds:
        os.dup2(null, fd, inheritable=False)
    os.close(null)
