"""Daemons forked from a process that has imported jobd: half of what a start costs.

`python tests/syscalls/nursery.py <socket>` forks one for each connection, which sends what it
is started with (arguments and environment, and a descriptor for its stderr), is sent its
pidfd, and at the end its exit status. What fails in it is counted from the fork on.

Not here: what is tried (trial.py).
"""

import contextlib
import ctypes
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jobd.cli.main import main

_MOST_BYTES = 1 << 20
_READY = b"ready"
_PROGRAM = ("jobd.cli.serve", "jobd.daemon.serve")
"""What `jobd serve` imports when it starts."""


class Forked:
    """A daemon that a nursery has forked; as much of Popen as is needed."""

    def __init__(
        self, nursery: str, arguments: Sequence[str], environ: Mapping[str, str], stderr: int
    ) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect(nursery)
        asked = json.dumps({"arguments": arguments, "environ": dict(environ)}).encode()
        socket.send_fds(self._connection, [asked], [stderr])
        _, (self._pidfd,), _, _ = socket.recv_fds(self._connection, 16, 1)
        self._status: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing if it has ended."""
        if self._status is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """End it without a word."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status, below 0 for a signal; raises TimeoutExpired."""
        if self._status is None:
            self._connection.settimeout(timeout)
            try:
                self._status = int(self._connection.recv(16))
            except TimeoutError:
                raise subprocess.TimeoutExpired("jobd", timeout or 0) from None
            self._connection.close()
            os.close(self._pidfd)
        return self._status


@contextlib.contextmanager
def opened(library: Path) -> Iterator[str]:
    """Start a nursery with the faults loaded and give its socket."""
    path = str(Path(tempfile.mkdtemp(prefix="jobd-n-")) / "s")
    environ = {**os.environ, "LD_PRELOAD": str(library)}
    started = [sys.executable, __file__, path]
    with subprocess.Popen(started, env=environ, stdout=subprocess.PIPE) as nursery:
        try:
            assert nursery.stdout is not None
            assert nursery.stdout.read(len(_READY)) == _READY
            yield path
        finally:
            nursery.kill()


def _serve(path: str) -> None:
    for name in _PROGRAM:
        importlib.import_module(name)
    os.environ.pop("LD_PRELOAD")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.write(1, _READY)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _keep(connection)
            return
        connection.close()


def _keep(connection: socket.socket) -> None:
    """Fork the daemon and say how it ends; in the daemon itself, return when it has ended."""
    asked, (stderr,), _, _ = socket.recv_fds(connection, _MOST_BYTES, 1)
    if pid := os.fork():
        pidfd = os.pidfd_open(pid)
        socket.send_fds(connection, [b"pid"], [pidfd])
        _, ended = os.waitpid(pid, 0)
        connection.send(str(os.waitstatus_to_exitcode(ended)).encode())
        os._exit(0)
    connection.close()
    os.dup2(stderr, 1)
    os.dup2(stderr, 2)
    os.close(stderr)
    wanted = json.loads(asked)
    os.environ.clear()
    os.environ.update(wanted["environ"])
    if "FAULT_CALL" in os.environ:
        ctypes.CDLL(None).faults_begin()
    sys.argv = ["jobd", *wanted["arguments"]]
    main()


if __name__ == "__main__":
    _serve(sys.argv[1])
