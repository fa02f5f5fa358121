"""Lines on a terminal that are painted again and again while jobs run.

Nothing is written unless the stream is a terminal. Lines are cut to its width, because one
that wraps cannot be repainted, and there are fewer of them than it has rows.

Not here: when they are repainted (follow.py, watch.py).
"""

import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TextIO

from jobd.cli.output import plain
from jobd.wire.jobs import Job

_CELLS = 24
_FALLBACK_SIZE = os.terminal_size((80, 24))


class Block:
    """Lines in one place. Use as a context manager: leaving lets them stand as they are."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rows = 0
        self.live = stream.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rows:
            self._stream.write("\n")
            self._stream.flush()

    def paint(self, lines: Sequence[str]) -> None:
        """Show the lines in place of those that were shown before."""
        if not self.live or not lines:
            return
        size = self._size()
        shown = [f"{text[: size.columns - 1]}\x1b[K" for text in _fitting(lines, size.lines - 1)]
        up = f"\x1b[{self._rows - 1}A" if self._rows > 1 else ""
        below = "\x1b[J" if len(shown) < self._rows else ""
        self._stream.write(f"\r{up}{chr(10).join(shown)}{below}")
        self._stream.flush()
        self._rows = len(shown)

    def _size(self) -> os.terminal_size:
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except OSError:
            return _FALLBACK_SIZE
        return size if size.columns and size.lines else _FALLBACK_SIZE


class Bar(Block):
    """One line that says how far one job is."""

    def __init__(
        self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic, head: str = ""
    ) -> None:
        super().__init__(stream)
        self._clock = clock
        self._started_s = clock()
        self.head = head
        """What stands before the bar, for who follows several jobs."""

    def show(self, job: Job) -> None:
        """Paint how far `job` is."""
        self.paint([line(job, elapsed_s=self._clock() - self._started_s, head=self.head)])


def _fitting(lines: Sequence[str], rows: int) -> Sequence[str]:
    """Return the first lines, and how many there are more, if they are too many."""
    if len(lines) <= max(rows, 1):
        return lines
    kept = max(rows - 1, 0)
    return [*lines[:kept], f"… and {len(lines) - kept} more"]


def bar(pct: float) -> str:
    """Return the bar and the percentage."""
    filled = int(pct / 100 * _CELLS)
    return f"[{'#' * filled}{'-' * (_CELLS - filled)}] {pct:3.0f} %"


def line(job: Job, *, elapsed_s: float, head: str = "") -> str:
    """Return the line for `job`: bar, percent, elapsed time, then what it is doing."""
    minutes, seconds = divmod(int(elapsed_s), 60)
    status = "" if job.status == "processing" else job.status
    parts = [head, bar(job.progress_pct), f"{minutes}:{seconds:02d}", status, doing(job)]
    return "  ".join(part for part in parts if part)


def doing(job: Job) -> str:
    """Return the step of a running job, and its message."""
    step = _step(job) if job.status == "processing" else ""
    return "  ".join(part for part in (step, plain(job.message or "")) if part)


def _step(job: Job) -> str:
    if job.step is None:
        return ""
    count = f" ({job.step_index}/{job.step_count})" if job.step_index and job.step_count else ""
    return plain(job.step) + count
