"""One attempt while a worker has it: its limits, what was heard of it so far, its outcome to come.

Not here: what is done when a limit is reached (worker.py).
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from jobd.domain.jobs import Claim
from jobd.domain.jobs import Progress as Shown
from jobd.domain.outcomes import Outcome
from jobd.pool.protocol import Progress
from jobd.pool.reports import Reason
from jobd.pool.settings import AttemptLimits

_MAX_STEPS = 1000
"""Steps that are kept for the evidence of an attempt that does not come to report."""


class Attempt:
    """A claim in a slot of a worker. It ends once: the first outcome stands."""

    __slots__ = (
        "_loop",
        "_silence",
        "_steps",
        "_timer",
        "asked",
        "began_s",
        "claim",
        "due_s",
        "heard_s",
        "held_up_s",
        "limits",
        "lost",
        "number",
        "outcome",
        "over",
        "passed_on",
        "peak_rss_bytes",
        "progress",
        "reported",
        "scratch",
        "setting_up",
        "setups",
        "share",
        "spoke",
    )

    def __init__(
        self,
        claim: Claim,
        number: int,
        limits: AttemptLimits,
        share: float | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.claim = claim
        self.number = number
        """Its number among the jobs that its worker was handed."""
        self.limits = limits
        self.began_s = self.heard_s = self._loop.time()
        """When it began, as far as the daemon can tell, and when it last said anything."""
        self.share = share
        """What it takes of all that its cpu worker may have at hand; None: it stands alone."""
        self.due_s: float | None = None
        """When the limit of its time or its setup is reached."""
        self.setting_up = False
        """Whether its handler is being imported or set up, which has a limit of its own."""
        self.setups = 0
        """How often that has begun."""
        self.held_up_s = 0.0
        """For how long its limits were not held against it, because a neighbour kept the loop."""
        self.peak_rss_bytes = 0
        """The most that it was seen to use; 0: nobody looked."""
        self.asked: Reason | None = None
        """Why the kill ladder was begun, if it was."""
        self.reported: Outcome | None = None
        """How it ended, by its own report, while what it had started is still to be ended."""
        self.scratch = True
        """Whether it may have left its scratch folder."""
        self.spoke = True
        """Whether it may have written something."""
        self.lost = False
        """Whether a checkpoint could not be stored, which ends a handler as a cancel does."""
        self.progress = Shown()
        self._steps: list[tuple[str, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        """The next rung of the kill ladder."""
        self._silence: asyncio.TimerHandle | None = None
        """The next look at whether it still says something."""
        self.outcome: asyncio.Future[Outcome] = self._loop.create_future()
        self.over: Callable[[Attempt], None] = _nothing
        """Called at once when it has its outcome."""
        self.passed_on: Callable[[Attempt], bool] = _nowhere
        """Begins it in another worker, where one is idle; False if none is."""

    @property
    def reason(self) -> Reason | None:
        """Why it was asked to end, if it was."""
        return self.asked or ("lost" if self.lost else None)

    def begin(self) -> None:
        """Take note that the one before it in its worker has ended."""
        self.began_s = self.heard_s = self._loop.time()

    def hear(self) -> None:
        """Take note of a sign of life."""
        self.heard_s = self._loop.time()

    def saw(self, rss_bytes: int) -> None:
        """Take note of what it was seen to use."""
        self.peak_rss_bytes = max(self.peak_rss_bytes, rss_bytes)

    def merge(self, frame: Progress) -> Shown:
        """Take in what is new in a progress frame and return all that is known."""
        self.hear()
        shown = self.progress
        entered = (frame.step, frame.step_index) != (shown.step, shown.step_index)
        if frame.step is not None and entered and len(self._steps) < _MAX_STEPS:
            self._steps.append((frame.step, time.time_ns() // 1_000_000))
        said = {
            name: value
            for name in Shown.__struct_fields__
            if (value := getattr(frame, name)) is not None
        }
        self.progress = msgspec.structs.replace(shown, **said)
        return self.progress

    def seen(self) -> dict[str, Any]:
        """Return what the daemon itself knows of it: the evidence when it cannot report."""
        evidence: dict[str, Any] = {"duration_s": round(self._loop.time() - self.began_s, 6)}
        if self.limits.handler:
            evidence["handler"] = self.limits.handler
        if self.peak_rss_bytes:
            evidence["peak_rss_bytes"] = self.peak_rss_bytes
        if self._steps:
            ends = [began for _, began in self._steps[1:]] + [time.time_ns() // 1_000_000]
            evidence["steps"] = [
                {"name": name, "started_at_ms": began, "duration_s": (ended - began) / 1000}
                for (name, began), ended in zip(self._steps, ends, strict=True)
            ]
        return evidence

    def after(self, delay_s: float, step: Callable[..., object], *args: object) -> None:
        """Do `step` next, after `delay_s`, instead of what was next so far."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, step, *args)

    def listen(self, delay_s: float, look: Callable[..., object], *args: object) -> None:
        """Look after `delay_s` at whether it has said something."""
        self._silence = self._loop.call_later(delay_s, look, *args)

    def stop_timers(self) -> None:
        """Do nothing more about it."""
        self.due_s = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def end(self, outcome: Outcome) -> None:
        """Give the attempt its outcome."""
        self.stop_timers()
        if not self.outcome.done():
            self.outcome.set_result(outcome)
            self.over(self)


def _nothing(_attempt: Attempt) -> None:
    """Nobody has asked to be told."""


def _nowhere(_attempt: Attempt) -> bool:
    return False
