"""Which queues are paused for sure, and what limit they have: what then starts breaks that."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import UNSET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.domain.queues import QueueChange


class Pauses:
    """What clients have been told about pauses and limits."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        """Begin with the limits of the settings."""
        self._paused: set[str] = set()
        self._resumes: Counter[str] = Counter()
        """Asked for, ever."""
        self._open: Counter[str] = Counter()
        """Resumes that may still come true."""
        self._limits = dict(limits)
        self._new_limits: Counter[str] = Counter()
        self._open_limits: Counter[str] = Counter()
        self._newest: dict[str, str] = {}

    def asked(self, change: QueueChange) -> tuple[int, int]:
        """Note that somebody wants to change a queue; return what `answered` wants back."""
        name = change.name
        self._newest[name] = "a pause" if change.paused else "a limit"
        if change.paused is False:
            self._paused.discard(name)
            self._resumes[name] += 1
            self._open[name] += 1
        if change.concurrency is not UNSET:
            self._limits.pop(name, None)
            self._new_limits[name] += 1
            self._open_limits[name] += 1
        return self._resumes[name], self._new_limits[name]

    def answered(self, change: QueueChange, asked: tuple[int, int], outcome: str) -> None:
        """Note the answer; a change without one may come true at any time."""
        name, limit = change.name, change.concurrency
        self._open[name] -= change.paused is False and outcome != "unknown"
        alone = not self._open[name] and asked[0] == self._resumes[name]
        if change.paused and outcome == "ok" and alone:
            self._paused.add(name)
        if limit is UNSET:
            return
        self._open_limits[name] -= outcome != "unknown"
        alone = not self._open_limits[name] and asked[1] == self._new_limits[name]
        if isinstance(limit, int) and outcome == "ok" and alone:
            self._limits[name] = limit

    def newest(self, queue: str) -> str:
        """Return what somebody has asked for last of a queue."""
        return self._newest.get(queue, "nobody")

    def forbids(self, queue: str) -> bool:
        """Whether nothing of the queue may start."""
        return queue in self._paused

    def most(self, queue: str) -> int | None:
        """Return how many jobs of the queue may run when one starts, if that is known."""
        return self._limits.get(queue)
