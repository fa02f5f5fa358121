"""A pool whose workers take their time, die, hang, lie and do not listen.

The daemon's side of it ends with the daemon; what its workers do goes on until they are
dead, as processes do.

Not here: when the daemon may begin without them (house.py waits for `survivors`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobd.domain.ahead import NOTHING
from jobd.domain.jobs import JobError, Progress, Result
from jobd.domain.outcomes import (
    Bystander,
    CancelledByRequest,
    Completed,
    Crashed,
    Failed,
    HandlerUnavailable,
    Interrupted,
    NotStarted,
    Outcome,
    Snoozed,
)
from tests.sim.weather import pause

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from jobd.domain.ahead import Ahead
    from jobd.domain.catalog import Lane
    from jobd.domain.jobs import Claim
    from jobd.engine.dispatcher import Dispatcher
    from tests.sim.weather import Weather

SLOTS: dict[Lane, int] = {"cpu": 2, "io": 3}
GRACE_S = 5.0
LIARS_SHARE = 0.4

BEHAVIOURS = {
    "works": 30,
    "is quick": 20,
    "raises": 9,
    "asks to be retried": 3,
    "discards": 2,
    "snoozes": 4,
    "crashes": 6,
    "hangs": 4,
    "cannot import": 2,
    "dies before it takes": 3,
    "is a bystander": 3,
}
CALM = ("works", "is quick", "raises")


@dataclass(eq=False)
class Run:
    """An attempt, from its hand-over to its end."""

    claim: Claim
    behaviour: str
    deaf: bool
    """It does not listen to cancels."""
    taken: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    why: str = ""


@dataclass
class Hands:
    """What a worker leaves traces of."""

    rng: random.Random
    weather: Weather
    started: Callable[[Claim], None]
    ended: Callable[[Claim], None]
    lie: Callable[[Claim], None]
    """Try to write about an attempt that is over."""


class SimPool:
    """The workers of one daemon."""

    def __init__(self, listener: Dispatcher, hands: Hands) -> None:
        self._listener = listener
        self._hands = hands
        self._rng = hands.rng
        self._runs: dict[str, Run] = {}
        self._alive = True
        self._draining = False

    @property
    def running(self) -> int:
        """Attempts that a worker has taken."""
        return sum(run.taken for run in self._runs.values())

    def free(self) -> dict[Lane, int]:
        if self._draining:
            return {}
        busy = [run.claim.lane for run in self._runs.values()]
        return {lane: max(0, n - busy.count(lane)) for lane, n in SLOTS.items()}

    def ahead(self) -> Ahead:
        return NOTHING

    def begin(self, claim: Claim) -> asyncio.Future[Outcome]:
        return asyncio.get_running_loop().create_task(self._run(claim))

    async def _run(self, claim: Claim) -> Outcome:
        run = Run(claim, self._behaviour(), deaf=self._rng.random() < 0.2)
        self._runs[claim.token] = run
        try:
            outcome = await self._attempt(run)
        finally:
            self._runs.pop(claim.token, None)
            self._listener.slots_free()
        if self._rng.random() < LIARS_SHARE and not self._hands.weather.calm:
            self._hands.lie(claim)
        return outcome

    def _behaviour(self) -> str:
        if self._hands.weather.calm:
            return self._rng.choice(CALM)
        return self._rng.choices([*BEHAVIOURS], [*BEHAVIOURS.values()])[0]

    async def _attempt(self, run: Run) -> Outcome:
        counts = self._hands.weather.counts
        if await self._stopped(run, self._rng.choice([0, 0.0005, 0.02, 0.5])):
            return NotStarted() if run.why != "cancel" else CancelledByRequest()
        if run.behaviour in {"cannot import", "dies before it takes"}:
            counts[f"worker {run.behaviour}"] += 1
            if run.behaviour == "dies before it takes" or self._hands.weather.calm:
                return NotStarted()
            self._listener.unavailable(run.claim.kind, "no module")
            return HandlerUnavailable("no module")
        run.taken = True
        self._hands.started(run.claim)
        counts[f"worker {run.behaviour}"] += 1
        outcome = await self._work(run)
        self._hands.ended(run.claim)
        return outcome

    async def _work(self, run: Run) -> Outcome:
        limit_s = run.claim.timeout_ms / 1000
        wanted_s = 0.001 if run.behaviour == "is quick" else self._rng.expovariate(1 / 3)
        takes_s = limit_s if run.behaviour == "hangs" else min(wanted_s, limit_s)
        parts = self._rng.randrange(3)
        for part in range(parts):
            if await self._stopped(run, takes_s / (parts + 1)):
                return await self._ending(run)
            await self._report(run, part)
        if await self._stopped(run, takes_s / (parts + 1)):
            return await self._ending(run)
        if wanted_s >= limit_s or run.behaviour == "hangs":
            return Failed(JobError("timeout", "too slow", retryable=True))
        return self._outcome(run)

    async def _report(self, run: Run, part: int) -> None:
        self._listener.progressed(run.claim, Progress(done=part))
        if self._rng.random() < 0.5:
            await self._listener.checkpointed(run.claim, b"%d" % part)

    def _outcome(self, run: Run) -> Outcome:
        body = f'"{run.claim.attempt}"'.encode()
        completed = Completed(Result("application/json", len(body), "0" * 64, body=body))
        failed = Failed(JobError("handler_error", "no", retryable=True))
        outcomes: dict[str, Outcome] = {
            "raises": failed,
            "asks to be retried": Failed(failed.error, retry_in_s=0),
            "discards": Failed(JobError("discarded", "no", retryable=False)),
            "snoozes": Snoozed(self._rng.uniform(0, 20)),
            "crashes": Crashed("it died"),
            "is a bystander": Bystander(),
        }
        return outcomes.get(run.behaviour, completed)

    async def _ending(self, run: Run) -> Outcome:
        """Be asked to end: obey, or be killed when the grace is over."""
        counts = self._hands.weather.counts
        if run.deaf:
            counts["worker ignores a cancel"] += 1
            await pause(GRACE_S)
        elif self._rng.random() < 0.2:
            return self._outcome(run)  # the reply was under way
        return CancelledByRequest() if run.why == "cancel" else Interrupted()

    async def _stopped(self, run: Run, within_s: float) -> bool:
        """Return whether the attempt was asked to end in that time."""
        try:
            async with asyncio.timeout(within_s):
                await run.stop.wait()
        except TimeoutError:
            return False
        return True

    def cancel(self, token: str) -> bool:
        return self._stop(token, "cancel")

    def recall(self, token: str) -> bool:
        run = self._runs.get(token)
        if run is None or run.taken:
            return False
        return self._stop(token, "recall")

    def _stop(self, token: str, why: str) -> bool:
        run = self._runs.get(token)
        if run is None or run.stop.is_set():
            return False
        run.why = why
        run.stop.set()
        return True

    async def drain(self, seconds: float) -> None:
        """Wait for what runs, then end it."""
        self._draining = True
        if self._runs and seconds:
            await pause(seconds)
        for token in list(self._runs):
            self._stop(token, "drain")
        while self._runs:
            await pause(0.05)

    def killed(self) -> list[Claim]:
        """Return what runs on without its daemon."""
        return [run.claim for run in self._runs.values() if run.taken]
