"""A worker's stdout and stderr: pipes of the daemon, with signs between what the jobs write.

Invariant: between a job's BEGIN and END lies all that it wrote, whether by Python, by C's
stdio, or by a program that it started and waited for. The signs go through copies of the
descriptors, so that they arrive whatever a handler does to 1 and 2. Where jobs take turns
(the cpu lane) there is no BEGIN, and an END only behind a job that wrote something.

Not here: what the signs look like (inband.py), when a job begins and ends (the lanes).
"""

import contextlib
import ctypes
import functools
import io
import logging
import os
import select
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from jobd.pool.inband import BEGIN, END, LOG, MAX_TEXT_BYTES, STDERR, STDOUT, STREAMS, sign
from jobd.pool.marker import Marker
from jobd.pool.turns import Count, Turn

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDOUT_FD, _STDERR_FD = 1, 2
_CLOSED_BY_A_JOB = contextlib.suppress(OSError, ValueError)
_LINE_BUFFERED = 1
"""_IOLBF of C."""


class Output:
    """Both streams of this process."""

    def __init__(self, mark: bytes, number: Callable[[], int] | None = None) -> None:
        """Take the streams over; `number` says whose text is written now, if several may run."""
        self._mark = mark
        self.number = 0
        """Whose turn it is, where jobs take turns."""
        self._writer = number or (lambda: self.number)
        # not inherited by a program; but a process that a handler forks may go on to use them
        self.fds = os.dup(_STDOUT_FD), os.dup(_STDERR_FD)
        self._libc = ctypes.CDLL(None)
        self._fflush = self._libc.fflush
        self._c_stdout = ctypes.c_void_p.in_dll(self._libc, "stdout")
        # for C a pipe is no terminal: its lines would come when a job has ended
        self._libc.setvbuf(self._c_stdout, None, _LINE_BUFFERED, 0)
        self._streams = _stream(_STDOUT_FD), _stream(_STDERR_FD)
        sys.stdout, sys.stderr = self._streams

    @property
    def stderr_fd(self) -> int:
        """Where stderr goes, whatever becomes of descriptor 2."""
        return self.fds[1]

    def begin(self, number: int) -> None:
        """Say that what is written from here on is (also) this job's."""
        self.flush()
        data = sign(self._mark, BEGIN, number)
        for fd in self.fds:
            _write(fd, data)

    def end(self, number: int) -> None:
        """Say that what was written up to here was (also) this job's."""
        self.flush()
        for fd in self.fds:
            self.end_of(number, fd)

    def end_of(self, number: int, fd: int) -> int:
        """Say so of one of the pipes, and return how many bytes that takes."""
        data = sign(self._mark, END, number)
        _write(fd, data)
        return len(data)

    def restore(self) -> None:
        """Undo what an earlier job did to the streams and their descriptors."""
        stdout, stderr = self._streams
        if stdout.closed or stderr.closed:
            stdout, stderr = self._streams = _stream(_STDOUT_FD), _stream(_STDERR_FD)
        sys.stdout, sys.stderr = stdout, stderr
        # last: a file that was in their place may have had 1 or 2, and closed it just now
        os.dup2(self.fds[0], _STDOUT_FD)
        os.dup2(self.fds[1], _STDERR_FD)

    def route(self) -> None:
        """Have what is printed go to the job that prints it, though others run too."""
        self._streams = self._routed(STDOUT, _STDOUT_FD), self._routed(STDERR, _STDERR_FD)
        sys.stdout, sys.stderr = self._streams

    def record(self, level: str) -> None:
        """Have what is logged go to the job that logs it, in its order with stdout."""
        root = logging.getLogger()
        root.addHandler(_Records(self))
        root.setLevel(level.upper())
        # at DEBUG it says how each loop was made, which is of no job
        logging.getLogger("asyncio").setLevel(max(logging.INFO, root.level))

    def text(self, kind: bytes, data: bytes) -> None:
        """Write text of the job that runs in this context."""
        fd = self.fds[kind == STDERR]
        number = self._writer()
        for at in range(0, len(data), MAX_TEXT_BYTES):
            _write(fd, sign(self._mark, kind, number, data[at : at + MAX_TEXT_BYTES]))

    def _routed(self, kind: bytes, fd: int) -> TextIO:
        route = _Route(functools.partial(self.text, kind), fd, f"<{STREAMS[kind]}>")
        return io.TextIOWrapper(
            route, encoding="utf-8", errors="backslashreplace", write_through=True
        )

    def flush(self) -> None:
        """Have what was printed be written."""
        for stream in self._streams:
            with _CLOSED_BY_A_JOB:
                stream.flush()
        # not all of C's streams: a thread that waits for input in one would hold this up
        self._fflush(self._c_stdout)


class Voice:
    """Whose both streams are while jobs take turns."""

    def __init__(self, output: Output, marker: Marker) -> None:
        self._output, self._turn = output, Turn(marker)
        self._counts = [(Count(marker, pipe), fd) for pipe, fd in enumerate(output.fds)]
        self._written: list[int | None] = [0] * len(self._counts)
        """What had been written when the last turn ended."""

    def begin(self, number: int) -> None:
        """Begin a job's turn."""
        self._output.number = number
        self._turn.begin(number)

    def end(self, number: int) -> bool:
        """End it; True if the job may have written something."""
        output, before = self._output, self._written
        output.flush()
        spoke = False
        for pipe, (count, fd) in enumerate(self._counts):
            written = count.written(fd)
            if written is None or written != before[pipe]:
                spoke = True
                signed = output.end_of(number, fd)
                before[pipe] = None if written is None else written + signed
        output.number = 0
        self._turn.end(number)
        return spoke


class _Route(io.RawIOBase):
    """Below a text stream: each write is said to be the running job's. Nothing is buffered."""

    def __init__(self, wrote: Callable[[bytes], None], fd: int, name: str) -> None:
        self._wrote, self._fd, self.name = wrote, fd, name

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: "ReadableBuffer", /) -> int:
        text = bytes(data)
        self._wrote(text)
        return len(text)


class _Records(logging.Handler):
    """Passes on what `logging` records."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record) + "\n"
        except Exception:  # noqa: BLE001 - a record's arguments may raise anything
            self.handleError(record)
        else:
            self._output.text(LOG, text.encode("utf-8", "backslashreplace"))


def _stream(fd: int) -> TextIO:
    """Return a text stream whose every line is written at once, and that leaves `fd` open."""
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _write(fd: int, data: bytes) -> None:
    """Write at most PIPE_BUF bytes, which go whole or not at all."""
    while True:
        try:
            os.write(fd, data)
        except BlockingIOError:  # a program that shares the pipe has made it so
            room = select.poll()
            room.register(fd, select.POLLOUT)
            room.poll()
        else:
            return
