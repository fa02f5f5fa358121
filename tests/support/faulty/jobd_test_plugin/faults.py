"""`def` handlers that crash, hang, or leave something behind."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from jobd.sdk import Cancelled, Context, handler


@handler
def segfault(ctx: Context, args: dict[str, Any]) -> None:
    ctypes.string_at(0)


@handler
def exit0(ctx: Context, args: dict[str, Any]) -> None:
    os._exit(0)


@handler
def kill(ctx: Context, args: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@handler
def garbage(ctx: Context, args: dict[str, Any]) -> None:
    """Write what is no frame into the stream to the daemon, and stay."""
    for fd in _sockets():
        with contextlib.suppress(OSError):
            os.write(fd, b"\xff" * 64)
    _stay()


@handler
def close(ctx: Context, args: dict[str, Any]) -> None:
    """Close the stream to the daemon, and stay."""
    for fd in _sockets():
        os.close(fd)
    _stay()


@handler
def fork(ctx: Context, args: dict[str, Any]) -> int:
    """Fork and return, twice."""
    return os.fork()


@handler
def spin(ctx: Context, args: dict[str, Any]) -> None:
    ctx.progress(message="running")
    while True:
        pass


@handler
def honour(ctx: Context, args: dict[str, Any]) -> None:
    ctx.progress(message="running")
    while True:
        ctx.check_cancelled()


@handler
def ignore_term(ctx: Context, args: dict[str, Any]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctx.progress(message="running")
    while True:
        with contextlib.suppress(Cancelled):
            ctx.check_cancelled()


@handler
def gil(ctx: Context, args: dict[str, Any]) -> None:
    """Sleep in C without giving the interpreter's lock back."""
    ctx.progress(message="running")
    ctypes.PyDLL(None).sleep(60)


@handler
def deaf(ctx: Context, args: dict[str, Any]) -> None:
    """Sleep in C without giving the interpreter's lock back, and without a signal's leave."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    ctx.progress(message="running")
    ctypes.PyDLL(None).sleep(60)


@handler
def grandchild(ctx: Context, args: dict[str, Any]) -> None:
    """Start two processes that outlive a parent, one of them in a session of its own."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", "import threading; threading.Event().wait()"],
            start_new_session=new_session,
        )
        for new_session in (False, True)
    ]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctx.progress(message=" ".join(str(process.pid) for process in started))
    _stay()


def _stay() -> None:
    threading.Event().wait()


def _sockets() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.is_socket()]
