"""The real pool over workers that are made up.

Real: the supervisor, its crew, the daemon's side of each worker with its line, its limits of
time and its judgement of a death. Made up: the processes (child.py), what they write, and
how quickly a kind turns out to be short.

Not here: when the daemon may begin without the workers of another (chaos.py).
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from jobd.domain.outcomes import CancelledByRequest, NotStarted
from jobd.pool.apart import ALONE
from jobd.pool.crew import Crew
from jobd.pool.inquest import Inquest
from jobd.pool.output import Output
from jobd.pool.paces import SAMPLES
from jobd.pool.settings import Settings
from jobd.pool.supervisor import Supervisor
from jobd.pool.worker import Worker
from tests.sim.child import SHORT, Child, Pair
from tests.sim.marker import Page, Steady

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from jobd.domain.catalog import Lane
    from jobd.domain.jobs import Claim
    from jobd.domain.outcomes import Outcome
    from jobd.engine.dispatcher import Dispatcher
    from jobd.pool.apart import Room
    from jobd.pool.attempt import Attempt
    from jobd.pool.process import Exit
    from jobd.pool.settings import AttemptLimits
    from tests.sim.hands import Hands

LIARS_SHARE = 0.4
LEARNED_SHARE = 0.6
"""Of the times at which the short kind could be known to be short, and of the new workers."""
SHORT_RUNS_S = (0.0001, 0.0008, 0.002)

SETTINGS = Settings(
    cpu_workers=2,
    io_workers=1,
    io_concurrency=3,
    kill_grace_s=5.0,
    allow_paths=(),
    inline_result_bytes=1000,
    result_bytes=1000,
    artifact_bytes=1000,
    log_level="info",
    mark="sim:1",
)


class Silence(Output):
    """The output of workers that write nothing."""

    def __init__(self) -> None:
        self.mark = b""

    def listen(self) -> None:
        """Listen to nobody."""

    def begin(self, number: int, claim: Claim) -> None:
        """Expect nothing."""

    def end(self, number: int) -> None:
        """Read nothing."""

    def forget(self, number: int) -> None:
        """Know nobody."""

    def finish(self) -> None:
        """Read nothing."""

    def close(self) -> None:
        """Let go of nothing."""


class SimWorker(Worker):
    """The real one, but for what it joins."""

    def __init__(self, crew: SimCrew, worker_id: int, lane: Lane, room: Room | None) -> None:
        self.worker_id, self.lane, self.room = worker_id, lane, room
        self.started_at_ms = 0
        self.state = "starting"
        self.was_ready = self._leaving = self.unfit = self.standing_by = False
        self.jobs_done = 0
        self.fresh = True
        self.lost_to = None
        self.recalling = False
        self.hands = crew.hands
        self._crew = crew
        self._settings, self._place = crew.settings, crew.place
        self._listener, self._freed = crew.listener, crew.freed
        self._capacity = 1 if lane == "cpu" or room == ALONE else SETTINGS.io_concurrency
        self._numbers = itertools.count(1)
        self.pair = Pair()
        page = Page()
        self._handover, self._marker = self.pair, page
        self._inquest = Inquest(lane, page)
        self._loop = Steady()
        self._output = Silence()
        self.child = Child(worker_id, lane, self.pair, page, owner=self, hands=crew.hands)
        self._process = self.child
        self._equip()
        if crew.hands.rng.random() < LEARNED_SHARE:
            self.line.learned(SHORT)

    def start(self, claim: Claim, limits: AttemptLimits, share: float | None = None) -> Attempt:
        self.hands.order.handed(claim, self.hands.priority(claim), self.worker_id)
        return super().start(claim, limits, share)

    def died(self, how: Exit, /) -> None:
        behind = [one for one in self.line if self.pair.holds(one.claim.token)]
        if self.lane == "cpu" and 0 < len(behind) < len(self.line):
            self.hands.counts["left behind a crash"] += 1
        super().died(how)

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        given_back = isinstance(outcome, NotStarted | CancelledByRequest)
        if self.lane == "cpu" and given_back and attempt is not self.line.first:
            self.hands.counts[f"recalled by {self._why(attempt)}"] += 1
        self.hands.order.given_back(attempt.claim.token)
        super()._end(attempt, outcome)

    def _pass_on(self, attempt: Attempt) -> bool:
        passed_on = super()._pass_on(attempt)
        self.hands.counts["passed on to an idle worker"] += passed_on
        return passed_on

    def _why(self, attempt: Attempt) -> str:
        if self.recalling:
            return self.hands.recalled_by(attempt.claim.queue)
        if attempt.asked == "cancel":
            return "a cancel"
        if self.state == "dead":
            return "the worker's death"
        if self._crew.draining() or self._leaving:
            return "a drain"
        if self.line.first.asked is not None:
            return "the end of the one in front"
        return "its worker's wear" if self.due else "an overrun"


class SimCrew(Crew):
    """The real one, with those workers."""

    def __init__(self, pool: SimPool, hands: Hands) -> None:
        super().__init__(
            SETTINGS,
            pool._place,  # noqa: SLF001 - the pool's own crew
            listener=pool.listener,
            freed=pool._announce,  # noqa: SLF001
            needed=pool._apart.needs,  # noqa: SLF001
            lost=pool._lost,  # noqa: SLF001
        )
        self.hands = hands
        self.settings, self.place, self.listener = SETTINGS, self._place, pool.listener
        self.freed = self._told
        self.draining: Callable[[], bool] = lambda: pool.draining

    def _begin_worker(self, lane: Lane, room: Room | None) -> Worker:
        return SimWorker(self, self._started, lane, room)


class SimPool(Supervisor):
    """The workers of one daemon."""

    def __init__(self, listener: Dispatcher, hands: Hands) -> None:
        nowhere = Path("/nonexistent")
        super().__init__(
            SETTINGS,
            scratch=nowhere,
            artifacts=nowhere,
            uploads=nowhere,
            listener=listener,
            workers_lock_fd=-1,
        )
        self.listener = listener
        self._hands = hands
        self._crew = SimCrew(self, hands)

    async def start(self) -> None:
        """Begin to start the workers."""
        self._crew.start()

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def all(self) -> list[SimWorker]:
        return [one for one in self._crew.workers.values() if isinstance(one, SimWorker)]

    @property
    def taken(self) -> int:
        """Attempts that a worker has taken."""
        return sum(len(worker.child.runs) for worker in self.all)

    @property
    def at_hand(self) -> int:
        """Jobs that wait behind others."""
        return sum(max(0, len(one.line) - 1) for one in self.all if one.lane == "cpu")

    def begin(self, claim: Claim) -> asyncio.Future[Outcome]:
        self._hands.claims[claim.token] = claim
        outcome = super().begin(claim)
        worker, attempt = self._running.get(claim.token, (None, None))
        if worker and claim.lane == "cpu" and attempt is not worker.line.first:
            self._hands.counts["claimed ahead"] += 1
        outcome.add_done_callback(lambda _: self._may_lie(claim))
        return outcome

    def _may_lie(self, claim: Claim) -> None:
        if self._hands.rng.random() < LIARS_SHARE and not self._hands.weather.calm:
            self._hands.lie(claim)

    def recall(self, token: str) -> bool:
        workers = self.all
        for worker in workers:
            worker.recalling = True
        try:
            return super().recall(token)
        finally:
            for worker in workers:
                worker.recalling = False

    def _over(self, attempt: Attempt) -> None:
        super()._over(attempt)
        if SHORT not in self._paces.shares and self._hands.rng.random() < LEARNED_SHARE:
            self._paces.forget(SHORT)
            took_s = self._hands.rng.choice(SHORT_RUNS_S)
            for _ in range(SAMPLES):  # as after many quick ones, of which there are too few here
                self._paces.ran(SHORT, took_s)
