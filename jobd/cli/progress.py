"""One line on stderr that is painted again and again while jobs run.

Nothing is written unless stderr is a terminal. The line is cut to the terminal's width,
because one that wraps cannot be repainted.

Not here: when it is repainted (follow.py).
"""

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from jobd.cli.output import plain
from jobd.wire.jobs import JobDetail

_CELLS = 24
_FALLBACK_COLUMNS = 80


class Bar:
    """The line. Use as a context manager: leaving ends the line as it stands."""

    def __init__(
        self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic, head: str = ""
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._started_s = clock()
        self._painted = False
        self.head = head
        """What stands before the bar, for who follows several jobs."""
        self.live = stream.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._painted:
            self._stream.write("\n")
            self._stream.flush()

    def paint(self, job: JobDetail) -> None:
        """Show how far `job` is, in place of what was shown before."""
        if not self.live:
            return
        text = line(job, elapsed_s=self._clock() - self._started_s, head=self.head)
        self._stream.write(f"\r{text[: self._columns() - 1]}\x1b[K")
        self._stream.flush()
        self._painted = True

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _FALLBACK_COLUMNS
        except OSError:
            return _FALLBACK_COLUMNS


def line(job: JobDetail, *, elapsed_s: float, head: str = "") -> str:
    """Return the line for `job`: bar, percent, elapsed time, then step and message."""
    filled = int(job.progress_pct / 100 * _CELLS)
    bar = "#" * filled + "-" * (_CELLS - filled)
    minutes, seconds = divmod(int(elapsed_s), 60)
    parts = [
        head,
        f"[{bar}] {job.progress_pct:3.0f} %",
        f"{minutes}:{seconds:02d}",
        _where(job),
        plain(job.message or ""),
    ]
    return "  ".join(part for part in parts if part)


def _where(job: JobDetail) -> str:
    if job.done or job.status != "processing":
        return f"{job.status}"
    if job.step is None:
        return ""
    count = f" ({job.step_index}/{job.step_count})" if job.step_index and job.step_count else ""
    return plain(job.step) + count
