"""`def` handlers that crash, hang, or leave something behind."""

# ruff: noqa: T201 - a thread that is left behind prints
import contextlib
import ctypes
import mmap
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobd.sdk import Cancelled, Context, handler

_NO_RESERVE = 0x4000


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


@handler
def abort(ctx: Context, args: dict[str, Any]) -> None:
    os.abort()


@handler
def exit1(ctx: Context, args: dict[str, Any]) -> None:
    os._exit(1)


@handler
def stop(ctx: Context, args: dict[str, Any]) -> None:
    """Start a process, and stand still."""
    _away(os.setsid)
    ctx.progress(message="running")
    os.kill(os.getpid(), signal.SIGSTOP)


@handler
def power(ctx: Context, args: dict[str, Any]) -> None:
    """Compute in C, for about a minute, without giving the interpreter's lock back."""
    pow(3, 10**8)


@handler
def bomb(ctx: Context, args: dict[str, Any]) -> None:
    """Have fifty processes, each the child of the one before, and stay."""
    for _ in range(50):
        if os.fork() != 0:
            break
    _stay()


@handler
def escape(ctx: Context, args: dict[str, Any]) -> None:
    """Have orphans in a session and in a process group of their own, and stay."""
    _away(os.setsid)
    _away(lambda: os.setpgid(0, 0))
    ctx.progress(message="running")
    _stay()


@handler
def flood(ctx: Context, args: dict[str, Any]) -> None:
    """Write so many MiB of lines."""
    block = (b"x" * 63 + b"\n") * (1 << 10)
    for _ in range(int(args["mb"]) << 4):
        sys.stdout.buffer.write(block)


@handler(memory_mb=150)
def gorge(ctx: Context, args: dict[str, Any]) -> None:
    """Take memory, as fast as it comes, and stay."""
    kept = [b"x" * (8 << 20) for _ in range(128)]
    _stay()
    del kept


@handler(memory_mb=150)
def sparse(ctx: Context, args: dict[str, Any]) -> None:
    """Map 10 GiB, touch nothing, and stay for longer than nobody looks."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    with mmap.mmap(-1, 10 << 30, flags=flags):
        threading.Event().wait(0.8)


@handler
def leave(ctx: Context, args: dict[str, Any]) -> None:
    sys.exit(3)


@handler
def interrupt(ctx: Context, args: dict[str, Any]) -> None:
    raise KeyboardInterrupt


@handler
def thread(ctx: Context, args: dict[str, Any]) -> None:
    """Leave a thread behind that goes on writing, and that no exit ends."""

    def go_on() -> None:
        while not threading.Event().wait(0.01):
            print("still there")

    threading.Thread(target=go_on).start()


@handler
def leak(ctx: Context, args: dict[str, Any]) -> None:
    """Open what nobody closes."""
    for _ in range(500):
        os.open(os.devnull, os.O_RDONLY)


@handler
def exhaust(ctx: Context, args: dict[str, Any]) -> None:
    """Open what nobody closes, until no more can be opened."""
    with contextlib.suppress(OSError):
        while True:
            os.open(os.devnull, os.O_RDONLY)


class Unprintable(Exception):  # noqa: N818 - it is not the error that is of interest
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@handler
def unprintable(ctx: Context, args: dict[str, Any]) -> None:
    raise Unprintable


@handler
def no_json(ctx: Context, args: dict[str, Any]) -> object:
    return {"sockets": object()}


@handler
def astray(ctx: Context, args: dict[str, Any]) -> None:
    """Leave the process in a folder that is gone, where it may create nothing that it can use."""
    os.chdir(ctx.workdir)
    os.umask(0o777)


def _away(move: Callable[[], object]) -> None:
    """Have an orphan that has moved away from this process; return when it has."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            move()
            os.close(read)
            os.write(write, b".")
            _stay()
        os._exit(0)
    os.waitpid(child, 0)
    os.read(read, 1)
    os.close(read)
    os.close(write)


def _stay() -> None:
    threading.Event().wait()


def _sockets() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.is_socket()]
