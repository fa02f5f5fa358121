"""One child process as the daemon sees it: started, spoken to, dead, collected with its tree.

Invariants: the pid belongs to this object until it is collected, so nothing else may wait
for it (Popen only starts it: its own poll and kill would collect it, or report 0 for a
segfault). Nothing here waits for the child: it may be stopped, or hold its GIL for hours.
A child's end is told by its pidfd, never by the end of its stream, which a grandchild may
hold open. Every frame that it sent is passed on before its death is. It is collected last:
until then nobody else can have its pid, by which its session is found and ended.

Not here: what a child is asked to do (worker.py, catalog.py); its own side (child.py).
"""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from jobd.pool import descriptors, tree
from jobd.pool.protocol import Down, FrameReader, Up, encode

_STDERR_FD = 2
_CHUNK_BYTES = 64 * 1024
_CHUNKS_BUFFERED = 64
"""More than a socket holds: what was there when a read began is read, and not for ever."""
_CLOSED_S = 1.0
"""How long a child may live on that has closed its stream; one that ends does so at its end."""
_TRACED_S = 0.02
"""How soon to look again whether the tracer of a dead child has let go of it."""

_DECODER: msgspec.msgpack.Decoder[Up] = msgspec.msgpack.Decoder(Up)

_UNSHARED = ("NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY")
_UNSHARED_PREFIXES = ("WATCHDOG_", "LISTEN_")


class Exit(msgspec.Struct, frozen=True):
    """How a process ended: by a signal, or with an exit code."""

    exit_code: int | None
    signal: str | None
    peak_rss_bytes: int | None
    cpu_s: float | None = None
    """Of its whole life, with that of the children it waited for."""

    def __str__(self) -> str:
        if self.signal is not None:
            return f"was killed by {self.signal}"
        return f"exited with code {self.exit_code}"

    def evidence(self) -> dict[str, Any]:
        """Return what is known of its end."""
        known = ("exit_code", "signal", "peak_rss_bytes")
        return {name: value for name in known if (value := getattr(self, name)) is not None}


class Owner(Protocol):
    """Who is told what the child says and that it died. Neither call may raise."""

    def received(self, frame: Up, /) -> None:
        """Take a frame of the child."""

    def died(self, how: Exit, /) -> None:
        """Take note that the process is dead; what it started may live on for a moment."""


class Process:
    """A child in a session of its own, `python -P -m <module> <daemon pid> <stream fd> …`."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[int],
        *,
        owner: Owner,
        mark: str,
        give: Sequence[int],
        output: tuple[int, int] = (_STDERR_FD, _STDERR_FD),
    ) -> None:
        """Start it; OSError when that is impossible. `give` are descriptors it inherits.

        `output` become its stdout and stderr; by default it shares the daemon's stderr.
        """
        self._owner = owner
        self._mark = mark
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._frames: deque[Up] = deque()
        self._deaf = False
        self._collected = False
        self._unsent = bytearray()
        self._dead = asyncio.Event()
        self._how: Exit
        self.broken: str | None = None
        """What the child did against the protocol; it is killed for that."""

        self._stream, theirs = socket.socketpair()
        try:
            command = [module, str(os.getpid()), str(theirs.fileno()), *map(str, arguments)]
            self.pid, self._pidfd = _start(command, mark, [theirs.fileno(), *give], output)
        except BaseException:
            self._stream.close()
            raise
        finally:
            theirs.close()
        tree.expect(self.pid)
        self._stream.settimeout(0)
        self._loop.add_reader(self._stream.fileno(), self._receive)
        self._loop.add_reader(self._pidfd, self._die)

    @property
    def alive(self) -> bool:
        """Whether it is not known to be dead."""
        return not self._dead.is_set()

    def send(self, frame: Down) -> None:
        """Send a frame, later if the child does not read; nothing if it is dead."""
        if self.alive:
            self._unsent += encode(frame)
            self._flush()

    def read(self) -> None:
        """Pass on the frames that are there now."""
        for _ in range(_CHUNKS_BUFFERED):
            if not self._receive():
                return

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it is not dead."""
        if self.alive:
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self, broken: str | None = None) -> None:
        """SIGKILL it, if it is not dead; `broken` says what it did to deserve it."""
        if self.alive:
            self.broken = self.broken or broken
            self.signal(signal.SIGKILL)

    async def gone(self) -> Exit:
        """Return how it ended, once nothing that it started is left and it is collected."""
        await self._dead.wait()
        if not self._collected:
            await tree.end(self.pid, self._mark)
            self._collect()
        return self._how

    def _receive(self) -> bool:
        """Read once; True if there may be more."""
        if self._deaf:
            return False
        try:
            data = self._stream.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return False
        except ConnectionResetError:  # it died with frames of ours unread
            data = b""
        if not data:
            self._stop_reading()
            self._loop.call_later(_CLOSED_S, self.kill, "closed its connection")
            return False
        try:
            self._frames += [_DECODER.decode(body) for body in self._reader.feed(data)]
        except (ValueError, RecursionError, msgspec.MsgspecError) as exc:
            self._stop_reading()
            self.kill(f"sent what is no frame ({exc})")
            return False
        # an owner may call read() meanwhile: the queue keeps the order of frames
        while self._frames:
            self._owner.received(self._frames.popleft())
        return True

    def _stop_reading(self) -> None:
        self._deaf = True
        self._loop.remove_reader(self._stream.fileno())

    def _flush(self) -> None:
        try:
            del self._unsent[: self._stream.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:  # nobody reads any more: its death is on its way
            self._unsent.clear()
        if self._unsent:
            self._loop.add_writer(self._stream.fileno(), self._flush)
        else:
            self._loop.remove_writer(self._stream.fileno())

    def _die(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self.read()
        try:
            self._how = _exit(self._pidfd)
        except BlockingIOError:
            # a tracer (strace, a debugger) hears of a death first, and no event tells when
            # it has let go
            self._loop.call_later(_TRACED_S, self._die)
            return
        self._loop.remove_reader(self._stream.fileno())
        self._loop.remove_writer(self._stream.fileno())
        self._stream.close()
        self._dead.set()
        self._owner.died(self._how)

    def _collect(self) -> None:
        _, _, usage = os.wait4(self.pid, 0)
        self._collected = True
        tree.collected(self.pid)
        os.close(self._pidfd)
        cpu_s = usage.ru_utime + usage.ru_stime
        self._how = msgspec.structs.replace(self._how, cpu_s=cpu_s)
        # A child starts with its parent's peak: below that, nothing is known of its own.
        own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if usage.ru_maxrss > own_peak:
            self._how = msgspec.structs.replace(self._how, peak_rss_bytes=usage.ru_maxrss * 1024)


def _start(
    command: Sequence[str], mark: str, fds: Sequence[int], output: tuple[int, int]
) -> tuple[int, int]:
    """Return pid and pidfd of a new child."""
    if threading.current_thread() is not threading.main_thread():
        # the kernel ends the child when the thread that started it ends
        raise RuntimeError("children are started from the main thread")
    child = subprocess.Popen(  # noqa: S603 - our own module, no input
        [sys.executable, "-P", "-m", *command],
        stdin=subprocess.DEVNULL,
        stdout=output[0],
        stderr=output[1],
        env=_environment(os.environ, mark),
        pass_fds=tuple(fds),
        start_new_session=True,
    )
    child.returncode = 0  # for Popen it is over: it must never wait for the pid
    descriptors.give_back(child.pid)
    try:
        return child.pid, os.pidfd_open(child.pid)
    except OSError:
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        raise


def _environment(own: Mapping[str, str], mark: str) -> dict[str, str]:
    """Return the environment for a child: its plugins need it, jobd itself reads nothing of it.

    What lets a process speak to systemd for the daemon is left out.
    """
    kept = {
        name: value
        for name, value in own.items()
        if name not in _UNSHARED and not name.startswith(_UNSHARED_PREFIXES)
    }
    return {**kept, tree.MARK: mark}


def _exit(pidfd: int) -> Exit:
    """Return how a dead child ended, and leave it uncollected."""
    how = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    if how is None:
        raise ChildProcessError("a dead child has a status")
    if how.si_code == os.CLD_EXITED:
        return Exit(how.si_status, None, None)
    try:
        name = signal.Signals(how.si_status).name
    except ValueError:  # most real-time signals have none
        name = f"signal {how.si_status}"
    return Exit(None, name, None)
