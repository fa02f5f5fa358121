"""A script, not a module: `python -I -S launch.py <worker's pid> <program> <argv>…`.

It becomes the program, once the kernel is told to end it with the worker. No `preexec_fn`
does this: that would fork all of a worker's memory, and is not safe beside threads. Not
here: everything else about a program (program.py). Imports nothing of jobd.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
ORPHANED = 70
NOT_STARTED = 127
"""As a shell says it."""


def main(arguments: list[str]) -> None:
    """Become the program; the exit code says why not."""
    worker_pid, program, *argv = arguments
    kill = ctypes.c_ulong(signal.SIGKILL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, kill, 0, 0, 0)
    if os.getppid() != int(worker_pid):  # it died before the kernel was told
        sys.exit(ORPHANED)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec keeps that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(program, argv)  # noqa: S606 - no shell is wanted
    except OSError as exc:
        sys.stderr.write(f"{program}: {exc.strerror}\n")
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main(sys.argv[1:])
