"""Which queues are paused for sure: what then starts breaks what a pause promises."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobd.domain.queues import QueueChange


class Pauses:
    """What clients have been told about pauses."""

    def __init__(self) -> None:
        self._paused: set[str] = set()
        self._resumes: Counter[str] = Counter()
        """Asked for, ever."""
        self._open: Counter[str] = Counter()
        """Resumes that may still come true."""

    def asked(self, change: QueueChange) -> int:
        """Note that somebody wants to change a queue; return what `answered` wants back."""
        if change.paused is False:
            self._paused.discard(change.name)
            self._resumes[change.name] += 1
            self._open[change.name] += 1
        return self._resumes[change.name]

    def answered(self, change: QueueChange, asked: int, outcome: str) -> None:
        """Note the answer; a resume without one may come true at any time."""
        if change.paused is False and outcome != "unknown":
            self._open[change.name] -= 1
        alone = not self._open[change.name] and asked == self._resumes[change.name]
        if change.paused and outcome == "ok" and alone:
            self._paused.add(change.name)

    def forbids(self, queue: str) -> bool:
        """Whether nothing of the queue may start."""
        return queue in self._paused
