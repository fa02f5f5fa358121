"""What one worker writes: two pipes that are always read, line by line to whom it belongs.

Invariants: when `end()` returns, all that the job wrote until it ended has been passed on.
A pipe is read a chunk at a time, between which the loop does other things, so that a job
that floods it slows down itself and not the daemon. What belongs to no job goes to the
daemon's log.

Not here: whose bytes are whose (demux.py), what becomes of a job's lines (the listener).
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable

from jobd.domain.jobs import Claim
from jobd.pool.demux import Demux
from jobd.pool.inband import MARK_BYTES
from jobd.pool.marker import Marker
from jobd.pool.settings import Listener
from jobd.pool.turns import Count, Turn, whose

_CHUNK_BYTES = 16 * 1024
_CHUNKS_BUFFERED = 8
"""More than a pipe holds: what was there when a read began is read, and not for ever."""
_MOST_IN_A_PIPE = 1024 * 1024
"""More than any holds, unless a privileged job made it larger."""
_OWN_LINES = 100
"""How many lines of its own a worker may add to the daemon's log in _OWN_WINDOW_S."""
_OWN_WINDOW_S = 1.0
_OWN_LINE_CHARS = 1000

_LOG = logging.getLogger(__name__)


class Output:
    """The daemon's ends of a worker's stdout and stderr."""

    def __init__(self, worker_id: int, listener: Listener, marker: Marker | None = None) -> None:
        """`marker`: the page on which a worker says whose turn it is, whose jobs take turns."""
        self._listener = listener
        self._claims: dict[int, Claim] = {}
        self._own = _Own(worker_id)
        # text has no NUL, so one byte tells that a chunk does not end within a mark
        self.mark = b"\0" + secrets.token_bytes(MARK_BYTES - 1)
        self._pipes = [
            _Pipe(
                Demux(self.mark, stream, self._wrote, in_turn=marker is not None),
                _Turns(marker, pipe) if marker else None,
            )
            for pipe, stream in enumerate(("stdout", "stderr"))
        ]

    def worker_fds(self) -> tuple[int, int]:
        """Return what the worker gets as its stdout and stderr."""
        out, err = self._pipes
        return out.theirs, err.theirs

    def listen(self) -> None:
        """Read from now on: the worker has its ends."""
        for pipe in self._pipes:
            pipe.listen()

    def begin(self, number: int, claim: Claim) -> None:
        """Give what the job with this number writes to `claim`."""
        self._claims[number] = claim

    def end(self, number: int) -> None:
        """Read all that the job wrote; from here on it is known no more."""
        for pipe in self._pipes:
            pipe.read_to_end_of(number)
        del self._claims[number]

    def forget(self, number: int) -> None:
        """Know the job no more: it has written nothing."""
        del self._claims[number]

    def finish(self) -> None:
        """Read what is left: the worker is dead."""
        for pipe in self._pipes:
            pipe.finish()

    def add(self, number: int, stream: str, lines: list[str]) -> None:
        """Add lines to a job that came another way."""
        self._wrote(number, stream, lines)

    def close(self) -> None:
        """Let go of the pipes."""
        for pipe in self._pipes:
            pipe.close()

    def _wrote(self, number: int, stream: str, lines: list[str]) -> None:
        claim = self._claims.get(number)
        if claim is None:
            self._own.wrote(stream, lines)
        else:
            self._listener.logged(claim, stream, time.time_ns() // 1_000_000, *lines)


class _Turns:
    """Whose turn it is at one pipe, and what went through it."""

    def __init__(self, marker: Marker, pipe: int) -> None:
        self.turn, self.count = Turn(marker), Count(marker, pipe)
        self._at = 0
        self._before_bytes = 0
        """How much may be in the pipe that was written before this turn, and its signs."""

    def are_of(self, at: int, size_bytes: int) -> bool:
        """Whether what has come without a sign by now is of that turn.

        It is when the pipe was empty during the turn, or as much has been read since its
        begin as a pipe holds: what was written before would have had its sign by now.
        """
        if at != self._at:
            self._at, self._before_bytes = at, _MOST_IN_A_PIPE
        self._before_bytes -= size_bytes
        if size_bytes < _CHUNK_BYTES:
            self._before_bytes = 0
        return self._before_bytes <= 0 and (not size_bytes or at == self.turn.at)


class _Pipe:
    """One of the two."""

    def __init__(self, demux: Demux, turns: "_Turns | None") -> None:
        self._loop = asyncio.get_running_loop()
        self._demux, self._turns = demux, turns
        self._ours, self.theirs = os.pipe()
        self._given = False
        os.set_blocking(self._ours, False)

    def listen(self) -> None:
        os.close(self.theirs)
        self._given = True
        self._loop.add_reader(self._ours, self._read)

    def read_to_end_of(self, number: int) -> None:
        for _ in range(_CHUNKS_BUFFERED):
            if number in self._demux.ended or not self._read():
                break
        self._demux.ended.discard(number)

    def finish(self) -> None:
        for _ in range(_CHUNKS_BUFFERED):
            if not self._read():
                break
        self._demux.finish(whose(self._turns.turn.at) if self._turns else 0)

    def close(self) -> None:
        self._loop.remove_reader(self._ours)
        os.close(self._ours)
        if not self._given:
            os.close(self.theirs)

    def _read(self) -> bool:
        """Read once, or until it is clear whose it is; True if there may be more."""
        if self._turns is None:
            return self._take(os.read) > 0
        for _ in range(_CHUNKS_BUFFERED):
            at = self._turns.turn.at
            size_bytes = self._take(self._turns.count.read)
            if self._turns.are_of(at, size_bytes):
                self._demux.give(whose(at))
                return size_bytes > 0
            if size_bytes == _CHUNK_BYTES:
                break
        return True

    def _take(self, read: Callable[[int, int], bytes]) -> int:
        """Read once, and return how many bytes there were."""
        try:
            data = read(self._ours, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._demux.feed(data)
        else:  # the end would be told again and again
            self._loop.remove_reader(self._ours)
        return len(data)


class _Own:
    """A worker's own lines on their way to the daemon's log: not more than it bears."""

    def __init__(self, worker_id: int) -> None:
        self._worker_id = worker_id
        self._window_ends_s = 0.0
        self._room = 0
        self._left_out = 0

    def wrote(self, stream: str, lines: list[str]) -> None:
        now_s = time.monotonic()
        if now_s >= self._window_ends_s:
            self._window_ends_s, self._room = now_s + _OWN_WINDOW_S, _OWN_LINES
            if self._left_out:
                _LOG.warning(
                    "Lines of a worker were left out. worker=%d count=%d",
                    self._worker_id,
                    self._left_out,
                )
                self._left_out = 0
        for line in lines[: self._room]:
            shown = line[:_OWN_LINE_CHARS]
            _LOG.warning("A worker wrote: %r worker=%d stream=%s", shown, self._worker_id, stream)
        self._left_out += max(0, len(lines) - self._room)
        self._room = max(0, self._room - len(lines))
