"""A program that a handler runs, and what it says.

Invariants: its end is told by its pidfd, never by the end of its streams, which something
that it left may hold open. It is in a group of its own, and collected last: until then its
number, by which the group is found, is its own. It is in the worker's session and carries the
worker's mark, and the kernel ends it with the worker: what ends that one ends it too.

Not here: when what is done with it (running.py).
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from jobd.sdk.endings import Discard
from jobd.sdk.lines import Lines
from jobd.sdk.text import clean, shown

TAIL_LINES = 20
"""How many last lines of each stream an error shows."""

_LAUNCH = str(Path(__file__).with_name("launch.py"))
_MARK = "JOBD_WORKER"
"""By this variable the daemon finds what a worker left (pool/tree.py)."""
_CHUNK_BYTES = 64 * 1024
_CHUNKS_BUFFERED = 16
"""More than a pipe holds: what was there at the end is read, and not for ever."""


OnLine = Callable[[str, str], bool | None]
"""Takes a stream, `stdout` or `stderr`, and a line without its end; True keeps it from the log."""


class Call(msgspec.Struct, frozen=True):
    """What to run, and how."""

    argv: Sequence[str | os.PathLike[str]]
    cwd: str | os.PathLike[str]
    env: Mapping[str, str] | None
    input: str | bytes | None
    on_line: OnLine | None


class ProgramFailed(subprocess.CalledProcessError):
    """It exited with another code than 0; `stdout` and `stderr` are the last lines."""

    def __str__(self) -> str:
        if self.returncode < 0:
            how = f"was ended by signal {-self.returncode}"
        else:
            how = f"exited with code {self.returncode}"
        last = (self.stderr or self.stdout).rpartition("\n")[2]
        return f"{self.cmd[0]} {how}: {last}".removesuffix(": ")


class Program:
    """A running program and its two streams."""

    def __init__(self, call: Call) -> None:
        """Start it; Discard when there is no such program."""
        self.argv = [os.fspath(argument) for argument in call.argv]
        if not self.argv:
            raise ValueError("argv must name a program")
        environ = dict(os.environ if call.env is None else call.env)
        path = _path_of(self.argv[0], call.cwd, environ)
        if _MARK in os.environ:
            environ[_MARK] = os.environ[_MARK]
        stdin = _stdin(call.input)
        try:
            self._child = subprocess.Popen(  # noqa: S603 - the handler's own choice
                [sys.executable, "-I", "-S", _LAUNCH, str(os.getpid()), path, *self.argv],
                bufsize=0,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=call.cwd,
                env=environ,
                process_group=0,
            )
        finally:
            os.close(stdin)
        try:
            self.pidfd = os.pidfd_open(self._child.pid)
        except OSError:
            with self._child:
                self._child.kill()
            raise
        self._streams = tuple(
            _Stream(name, pipe.fileno())
            for name, pipe in (("stdout", self._child.stdout), ("stderr", self._child.stderr))
            if pipe is not None
        )

    @property
    def fds(self) -> tuple[int, ...]:
        """What becomes readable when it said something or ended."""
        return (self.pidfd, *(stream.fd for stream in self._streams if not stream.ended))

    @property
    def over(self) -> bool:
        """Whether it is dead; it is not collected."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PIDFD, self.pidfd, options) is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its group. Only before `collect`."""
        with contextlib.suppress(
            PermissionError
        ):  # it became another user's: then it is waited for
            os.killpg(self._child.pid, number)

    def collect(self) -> bool:
        """Collect it; True if others of its group are left to `collect_others`."""
        self._child.wait()
        return _collected(self._child.pid, os.WNOHANG)

    def collect_others(self) -> None:
        """Return when all others of its group are dead, which they were told to be."""
        while _collected(self._child.pid):
            pass

    def hear(self, on_line: OnLine | None) -> bool:
        """Pass on what it said, at most one chunk a stream; True if there may be more."""
        more = [stream.hear(on_line) for stream in self._streams]
        return any(more)

    def hear_out(self, on_line: OnLine | None) -> None:
        """Pass on what is left: it is dead."""
        for _ in range(_CHUNKS_BUFFERED):
            if not self.hear(on_line):
                break
        for stream in self._streams:
            stream.finish(on_line)

    def close(self) -> None:
        """Let go of the descriptors."""
        for pipe in (self._child.stdout, self._child.stderr):
            if pipe is not None:
                pipe.close()
        os.close(self.pidfd)

    def code(self, *, check: bool) -> int:
        """Return its exit code; ProgramFailed when that is to be checked and is not 0."""
        code = self._child.returncode
        if check and code != 0:
            out, err = ("\n".join(stream.tail) for stream in self._streams)
            raise ProgramFailed(code, self.argv, out, err)
        return code


class _Stream:
    """Its stdout or stderr."""

    def __init__(self, name: str, fd: int) -> None:
        self._name, self.fd = name, fd
        self.ended = False
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._lines = Lines()
        os.set_blocking(fd, False)

    def hear(self, on_line: OnLine | None) -> bool:
        if self.ended:
            return False
        try:
            data = os.read(self.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        self.ended = not data
        self._say(self._lines.feed(data), on_line)
        return bool(data)

    def finish(self, on_line: OnLine | None) -> None:
        self._say(self._lines.finish(), on_line)

    def _say(self, lines: list[str], on_line: OnLine | None) -> None:
        self.tail.extend(clean(line) for line in lines[-TAIL_LINES:])
        if on_line is not None:
            lines = [line for line in lines if on_line(self._name, line) is not True]
        if lines:
            out = sys.stdout if self._name == "stdout" else sys.stderr
            with contextlib.suppress(ValueError):  # the handler may have closed it
                out.write("\n".join(lines) + "\n")


def _collected(group: int, options: int = 0) -> bool:
    """Collect one child of a group; False if there is none."""
    try:
        os.waitpid(-group, options)
    except ChildProcessError:
        return False
    return True


def _path_of(program: str, cwd: str | os.PathLike[str], environ: Mapping[str, str]) -> str:
    named = os.path.join(cwd, program) if os.sep in program else program  # noqa: PTH118 - a "./" would go
    found = shutil.which(named, path=environ.get("PATH", os.defpath))
    if found is None:
        raise Discard(
            code="program_missing",
            message=f"{shown(program)!r} is no program that can be run here: is it installed?",
        )
    return os.path.abspath(found)  # noqa: PTH100 - Path.resolve would follow links, argv[0] counts


def _stdin(text: str | bytes | None) -> int:
    """Return what the program reads: a file needs nobody who feeds it."""
    if text is None:
        return os.open(os.devnull, os.O_RDONLY)
    fd = os.memfd_create("stdin")
    with open(fd, "wb", closefd=False) as file:
        file.write(text.encode() if isinstance(text, str) else text)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
