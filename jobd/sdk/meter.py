"""Progress as it is reported: clamped, never going back, and not more often than needed.

Invariant: a frame carries all that is known, so a frame that was left out loses nothing
once a later one is sent.
"""

import math
import time
from typing import Protocol

from jobd.sdk.text import shown

INTERVAL_S = 0.1
MAX_COUNT = 2**63 - 1
_WHOLE_PCT = 100.0


class Show(Protocol):
    """Where frames go; None means not known. What is left out has not changed."""

    def __call__(
        self,
        *,
        pct: float | None,
        done: int | None,
        total: int | None,
        step: str | None,
        step_index: int | None,
        step_count: int | None,
        message: str | None,
    ) -> None:
        """Pass one frame on."""


Place = tuple[str | None, int | None, int | None]
"""The step an attempt is in: name, index, count."""


class Meter:
    """The progress of one attempt."""

    __slots__ = (
        "_due_at",
        "_heard_until",
        "_interval_s",
        "_show",
        "done",
        "message",
        "pct",
        "place",
        "total",
    )

    def __init__(self, show: Show, interval_s: float) -> None:
        self._show = show
        self._interval_s = interval_s
        self._due_at = -math.inf
        self._heard_until = -math.inf
        self.pct: float | None = None
        self.done: int | None = None
        self.total: int | None = None
        self.message: str | None = None
        self.place: Place = (None, None, None)

    def report(
        self, pct: float | None, done: int | None, total: int | None, message: str | None
    ) -> None:
        """Take in what is given; send it if it is the first, the end, or time."""
        if done is not None:
            self.done = _count(done)
        if total is not None:
            self.total = _count(total)
        if message is not None:
            self.message = shown(message)
        if pct is None and self.total and self.done is not None:
            pct = self.done * _WHOLE_PCT / self.total
        ended = self._advance(pct)
        if ended or time.monotonic() >= self._due_at:
            self._send()

    def enter(self, place: Place) -> None:
        """Show a step at once: no later frame may come while it runs."""
        self.place = place
        self._send()

    def silent(self) -> bool:
        """Whether nothing was sent for an interval; if so, the caller now sends a heartbeat."""
        now_s = time.monotonic()
        if now_s < self._heard_until:
            return False
        self._heard_until = now_s + self._interval_s
        return True

    def _advance(self, pct: float | None) -> bool:
        """Move the percentage on; True when it has just come to the end."""
        if pct is None or math.isnan(pct):
            return False
        before = self.pct
        self.pct = max(before or 0.0, min(max(float(pct), 0.0), _WHOLE_PCT))
        return self.pct == _WHOLE_PCT and before != _WHOLE_PCT

    def _send(self) -> None:
        self._due_at = self._heard_until = time.monotonic() + self._interval_s
        step, index, count = self.place
        self._show(
            pct=self.pct,
            done=self.done,
            total=self.total,
            step=step,
            step_index=index,
            step_count=count,
            message=self.message,
        )


def _count(value: int) -> int:
    return min(max(int(value), 0), MAX_COUNT)
