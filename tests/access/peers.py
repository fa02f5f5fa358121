"""Connections of other users of the machine: a child of theirs connects and hands them over."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

Connect = Callable[[], socket.socket]

_CHILD = """
import os, socket, sys
uid, gid, *groups = map(int, sys.argv[3:])
os.setgroups(groups)
os.setgid(gid)
os.setuid(uid)
control = socket.socket(fileno=int(sys.argv[1]))
while control.recv(1):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(sys.argv[2])
        socket.send_fds(control, [b"x"], [peer.fileno()])
"""


def connected(path: str) -> socket.socket:
    """Return a connection of this process."""
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    return peer


@contextlib.contextmanager
def user(path: str, uid: int, gid: int, groups: Sequence[int] = ()) -> Iterator[Connect]:
    """Yield what makes connections to the socket at `path` as another user; needs root."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = subprocess.Popen(
            [sys.executable, "-ISc", _CHILD, *map(str, (theirs.fileno(), path, uid, gid, *groups))],
            pass_fds=[theirs.fileno()],
            cwd="/",
        )
        theirs.close()

        def connect() -> socket.socket:
            ours.send(b"x")
            _, (fd,), _, _ = socket.recv_fds(ours, 1, 1)
            return socket.socket(fileno=fd)

        try:
            yield connect
        finally:
            ours.close()
            child.wait()
