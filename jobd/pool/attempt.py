"""One attempt while a worker has it: what was said of it so far, and the outcome to come."""

import asyncio
from collections.abc import Callable

import msgspec

from jobd.domain.jobs import Claim
from jobd.domain.jobs import Progress as Shown
from jobd.domain.outcomes import Outcome
from jobd.pool.protocol import Progress
from jobd.pool.reports import Reason


class Attempt:
    """A claim in a slot of a worker. It ends once: the first outcome stands."""

    __slots__ = ("asked", "claim", "lost", "number", "outcome", "progress", "timer")

    def __init__(self, claim: Claim, number: int) -> None:
        self.claim = claim
        self.number = number
        """Its number among the jobs that its worker was handed."""
        self.asked: Reason | None = None
        """Why the kill ladder was begun, if it was."""
        self.lost = False
        """Whether a checkpoint could not be stored, which ends a handler as a cancel does."""
        self.progress = Shown()
        self.timer: asyncio.TimerHandle | None = None
        """The next thing to do about it: its time limit, then the rungs of the kill ladder."""
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    @property
    def reason(self) -> Reason | None:
        """Why it was asked to end, if it was."""
        return self.asked or ("lost" if self.lost else None)

    def merge(self, frame: Progress) -> Shown:
        """Take in what is new in a progress frame and return all that is known."""
        said = {
            name: value
            for name in Shown.__struct_fields__
            if (value := getattr(frame, name)) is not None
        }
        self.progress = msgspec.structs.replace(self.progress, **said)
        return self.progress

    def after(self, delay_s: float, step: Callable[..., object], *args: object) -> None:
        """Do `step` next, after `delay_s`, instead of what was next so far."""
        self.stop_timer()
        self.timer = asyncio.get_running_loop().call_later(delay_s, step, *args)

    def stop_timer(self) -> None:
        """Do nothing more about it."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def end(self, outcome: Outcome) -> None:
        """Give the attempt its outcome."""
        self.stop_timer()
        if not self.outcome.done():
            self.outcome.set_result(outcome)
