"""What the attempts of a job wrote, line by line: kept on disk, and followed while it is written.

    logs/<job_id>/<attempt>.ndjson     {"attempt","timestamp","stream","line"} a line

The first `head_bytes` of an attempt go to its file at once; of what follows only the last
`tail_bytes` are kept, in memory until the attempt ends. Nothing is fsynced: a log is
evidence, not state. All of it belongs to the event loop, but what read() returns may be
consumed in a thread.

Not here: where lines come from (pool/), how they are shown (api/).
"""

import contextlib
import itertools
import logging
import os
import shutil
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from jobd.files.log_follower import Follower, Lagged
from jobd.files.log_lines import LINE_COST_BYTES, Lines, LogLine, lines_of

__all__ = ["AttemptLog", "Follower", "Lagged", "LogLine", "Logs"]

TAIL_BYTES = 64 * 1024

_JOBD = "jobd"
"""The stream of what jobd itself says in a log."""

log = logging.getLogger(__name__)


class Logs:
    """The logs of all jobs."""

    def __init__(self, folder: Path, *, head_bytes: int, tail_bytes: int = TAIL_BYTES) -> None:
        self._folder = folder
        self._head_bytes, self._tail_bytes = head_bytes, tail_bytes
        self._open: defaultdict[str, dict[int, AttemptLog]] = defaultdict(dict)
        self._followers: defaultdict[str, list[Follower]] = defaultdict(list)

    def open(self, job_id: str, attempt: int) -> "AttemptLog":
        """Begin the log of an attempt, anew if there is one; OSError when that is impossible."""

        def forget() -> None:
            del self._open[job_id][attempt]
            if not self._open[job_id]:
                del self._open[job_id]

        opened = self._open[job_id][attempt] = AttemptLog(
            self._path(job_id, attempt),
            attempt,
            head_bytes=self._head_bytes,
            tail_bytes=self._tail_bytes,
            tell=lambda part: self._tell(job_id, part),
            closed=forget,
        )
        return opened

    def read(
        self, job_id: str, *, attempt: int | None = None, tail: int | None = None
    ) -> Iterator[LogLine]:
        """Return the lines as they are at this call, oldest first; of them the last `tail`.

        Only whole lines. The files are opened when the first is asked for. A job or an
        attempt without a log has no lines.
        """
        running = self._open.get(job_id, {})
        parts: list[Iterable[LogLine]] = []
        for number in self._attempts(job_id):
            if attempt not in {None, number}:
                continue
            size_bytes, rest = running[number].snapshot() if number in running else (None, [])
            parts += [lines_of(self._path(job_id, number), size_bytes), rest]
        lines = itertools.chain.from_iterable(parts)
        return lines if tail is None else _last(lines, tail)

    def follow(self, job_id: str) -> Follower:
        """Return a context manager that gets each line of the job as it comes."""
        return Follower(self, job_id)

    def remove(self, job_id: str) -> None:
        """Remove what is kept of a job that has ended; OSError when that is impossible."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder / job_id)

    def join(self, job_id: str, follower: Follower) -> None:
        """Put each of the job's lines into the follower."""
        self._followers[job_id].append(follower)

    def leave(self, job_id: str, follower: Follower) -> None:
        """Put no more into it; it may have been dropped already."""
        followers = self._followers[job_id]
        if follower in followers:
            followers.remove(follower)
        if not followers:
            del self._followers[job_id]

    def _tell(self, job_id: str, part: Lines) -> None:
        for follower in tuple(self._followers.get(job_id, ())):  # one that lags leaves
            follower.put(part)

    def _path(self, job_id: str, attempt: int) -> Path:
        return self._folder / job_id / f"{attempt}.ndjson"

    def _attempts(self, job_id: str) -> list[int]:
        names = (path.stem for path in (self._folder / job_id).glob("*.ndjson"))
        return sorted(int(name) for name in names if name.isdecimal())


class AttemptLog:
    """The log of one attempt while it runs. `close()` it, or its last lines are lost."""

    def __init__(
        self,
        path: Path,
        attempt: int,
        *,
        head_bytes: int,
        tail_bytes: int,
        tell: Callable[[Lines], None],
        closed: Callable[[], None],
    ) -> None:
        """Begin an empty file; OSError when that is impossible."""
        self._path, self._attempt = path, attempt
        self._room_bytes = head_bytes
        self._tail = _Tail(tail_bytes)
        self._tell, self._closed = tell, closed
        self._size_bytes = 0
        self._full = False
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)

    def append(self, at_ms: int, stream: str, *lines: str) -> None:
        """Add lines and show them to the followers; never raises, a full disk costs only lines."""
        part = Lines.of(self._attempt, at_ms, stream, lines)
        rest = part if self._full else self._to_head(part)
        if rest.texts:
            self._full = True
            self._tail.add(rest)
        self._tell(part)

    def snapshot(self) -> tuple[int, list[LogLine]]:
        """Return how much of the file is written, and what is to come behind that."""
        return self._size_bytes, self._tail.records()

    def close(self) -> None:
        """Write the last lines and end the log."""
        if not self._write(b"".join(record.encoded() for record in self._tail.records())):
            log.warning("The end of a log was not written.", extra={"path": str(self._path)})
        os.close(self._fd)
        self._closed()

    def _to_head(self, part: Lines) -> Lines:
        """Write what fits; return the rest."""
        records: list[bytes] = []
        for record in part:
            encoded = record.encoded()
            if len(encoded) > self._room_bytes:
                break
            self._room_bytes -= len(encoded)
            records.append(encoded)
        written = self._write(b"".join(records))
        return part.behind(len(records)) if written else part

    def _write(self, data: bytes) -> bool:
        """Write all of it, or nothing; True for all."""
        try:
            if os.pwrite(self._fd, data, self._size_bytes) == len(data):
                self._size_bytes += len(data)
                return True
        except OSError:
            pass
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._size_bytes)
        return False


class _Tail:
    """The last of the lines that came, within a bound."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._parts: deque[Lines] = deque()
        self._cost_bytes = 0
        self._came = 0

    def add(self, part: Lines) -> None:
        """Take lines in, and forget older ones for them."""
        self._came += len(part.texts)
        most = self._limit_bytes // LINE_COST_BYTES + 1
        if len(part.texts) > most:
            part = part.behind(-most)
        self._parts.append(part)
        self._cost_bytes += part.cost_bytes
        while self._cost_bytes - self._parts[0].cost_bytes >= self._limit_bytes:
            self._cost_bytes -= self._parts.popleft().cost_bytes

    def records(self) -> list[LogLine]:
        """Return what is kept; in front of it, how much is not."""
        kept: deque[LogLine] = deque()
        room_bytes = self._limit_bytes
        for record in itertools.chain.from_iterable(map(reversed, reversed(self._parts))):
            room_bytes -= len(record.line) + LINE_COST_BYTES
            if room_bytes < 0 and kept:
                break
            kept.appendleft(record)
        if kept and (lost := self._came - len(kept)):
            text = f"{lost} lines were left out here: the log of an attempt is bounded."
            kept.appendleft(LogLine(kept[0].attempt, kept[0].timestamp, _JOBD, text))
        return list(kept)


def _last(lines: Iterable[LogLine], count: int) -> Iterator[LogLine]:
    yield from deque(lines, maxlen=count)
