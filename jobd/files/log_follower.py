"""One who gets the lines of a job as they are written, without asking again and again.

Invariant: what waits for a follower is bounded; who does not keep up is dropped and told.
Not here: the lines of before (logs.py).
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from jobd.files.log_lines import Lines, LogLine

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLLOWER_BYTES = 2 * 1024 * 1024
"""What may wait for one follower."""


class Lagged(Exception):  # noqa: N818 - named for what happened
    """A follower did not keep up with the lines, and gets no more."""


class Source(Protocol):
    """Where a follower gets its lines from."""

    def join(self, job_id: str, follower: "Follower", /) -> None:
        """Put each of the job's lines into the follower."""

    def leave(self, job_id: str, follower: "Follower", /) -> None:
        """Put no more into it."""


class Follower:
    """The lines that a job writes from now on; a context manager, as it must be closed."""

    def __init__(self, source: Source, job_id: str) -> None:
        self._source, self._job_id = source, job_id
        self._parts: deque[Lines] = deque()
        self._lines: Iterator[LogLine] = iter(())
        self._cost_bytes = 0
        self._lagged = False
        self._told = asyncio.Event()

    def __enter__(self) -> Self:
        """Begin. Call Logs.read() for the past before anything is awaited.

        Then no line is missed and none is seen twice.
        """
        self._source.join(self._job_id, self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._source.leave(self._job_id, self)

    async def next(self) -> LogLine:
        """Return the next line, waiting for it; Lagged when too many have waited."""
        while (line := self._take()) is None:
            self._told.clear()
            await self._told.wait()
        return line

    def waiting(self) -> list[LogLine]:
        """Return the lines that are there, without waiting; Lagged as `next()`.

        After the event that ends a job these are its last.
        """
        return list(iter(self._take, None))

    def put(self, part: Lines) -> None:
        """Take lines; if too many wait, forget them all and take no more."""
        self._parts.append(part)
        self._cost_bytes += part.cost_bytes
        if self._cost_bytes > FOLLOWER_BYTES:
            self._lagged = True
            self._parts.clear()
            self._source.leave(self._job_id, self)
        self._told.set()

    def _take(self) -> LogLine | None:
        if self._lagged:
            raise Lagged
        while (line := next(self._lines, None)) is None and self._parts:
            part = self._parts.popleft()
            self._cost_bytes -= part.cost_bytes
            self._lines = iter(part)
        return line
