"""A worker process that is made up: it takes jobs, works, dies, hangs, lies and does not listen.

It stands where jobd/pool/process.py does, and its pair where jobd/pool/handover.py does: what
it has taken is its own, what it has not can be taken back, and what it has said is read
sooner or later. It ends when it is told to or killed; a crash takes it away at once, and the
daemon hears of that a moment later.

Not here: the daemon's side of it (pool.py, and the real jobd/pool/worker.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobd.pool.handover import Handover
from jobd.pool.line import OVERRUN_S
from jobd.pool.process import Exit, Owner, Process
from jobd.pool.protocol import (
    Cancel,
    Checkpoint,
    Checkpointed,
    Down,
    Finished,
    Job,
    Progress,
    Ready,
    Up,
)
from jobd.pool.reports import UNAVAILABLE
from jobd.sdk.outcome import Ended, Error
from tests.sim.weather import pause

if TYPE_CHECKING:
    import signal
    from collections.abc import Coroutine, Iterable

    from jobd.domain.catalog import Lane
    from jobd.domain.jobs import Claim
    from tests.sim.hands import Hands
    from tests.sim.marker import Page

SHORT = "sim.short"
BEHAVIOURS = {
    "works": 30,
    "is quick": 20,
    "overruns": 4,
    "raises": 9,
    "asks to be retried": 3,
    "discards": 2,
    "snoozes": 4,
    "crashes": 6,
    "hangs": 4,
    "cannot import": 2,
    "dies before it takes": 3,
}
OF_SHORT_ONES = {**BEHAVIOURS, "works": 0, "is quick": 60, "overruns": 14}
RETRIES_IN_S = (0, 0, 1000)
"""What a job may ask for: at once, or so late that it is too old by then."""
CALM = ("works", "is quick", "raises")

NO_PID = 1 << 23
"""More than a pid can be."""
FORESEEN_S = 0.01
"""How much later than at once the daemon may see what a worker has said, or be at its timers."""
_SEGFAULT = Exit(None, "SIGSEGV", None)
_KILLED = Exit(None, "SIGKILL", None)


class Pair(Handover):
    """Where jobs wait for one worker: whoever takes one has it."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._since_s: dict[str, float] = {}
        self.came = asyncio.Event()
        self.open = True

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def next(self) -> str:
        return self._messages[0].decode()

    def holds(self, token: str) -> bool:
        return token.encode() in self._messages

    def take(self) -> str:
        return self._messages.popleft().decode()

    def longest_s(self) -> float:
        """Return for how long one has waited here."""
        now_s = asyncio.get_running_loop().time()
        waits = [now_s - self._since_s[message.decode()] for message in self._messages]
        return max(waits, default=0.0)

    def send(self, job: Job) -> None:
        self._since_s[job.token] = asyncio.get_running_loop().time()
        self.give_again([job.token.encode()])

    def give_again(self, messages: Iterable[bytes]) -> None:
        self._messages += messages
        self.came.set()

    def _received(self) -> dict[str, bytes]:
        messages = {message.decode(): message for message in self._messages}
        self._messages.clear()
        return messages

    def finish(self) -> None:
        self.open = False
        self.came.set()

    def close(self) -> None:
        """Let go of nothing."""


@dataclass(eq=False)
class Run:
    """An attempt, from when it was taken to its end."""

    claim: Claim
    number: int
    behaviour: str
    deaf: bool
    """It does not listen to cancels."""
    began_s: float
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    answer: asyncio.Future[bool] | None = None
    """Whether its checkpoint is lost."""


class Child(Process):
    """One made-up process."""

    def __init__(
        self, number: int, lane: Lane, pair: Pair, page: Page, *, owner: Owner, hands: Hands
    ) -> None:
        self.pid = NO_PID + number
        self.broken = None
        self.fallen = False
        """It is dead, whether the daemon knows or not."""
        self.runs: dict[str, Run] = {}
        """What it has taken and not ended."""
        self._lane, self._pair, self._page = lane, pair, page
        self._owner, self._hands, self._rng = owner, hands, hands.rng
        self._loop = asyncio.get_running_loop()
        self._dead = asyncio.Event()
        self._frames: deque[Up] = deque()
        self._behaviours: dict[str, str] = {}
        self._numbers = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._begin(self._live())

    def _begin(self, doing: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(self._loop.create_task(doing))

    # what the daemon does to it

    def send(self, frame: Down) -> None:
        if not self.fallen:
            self._loop.call_later(self._rng.uniform(0, 0.002), self._hear, frame)

    def _hear(self, frame: Down) -> None:
        match frame:
            case Cancel() if run := self.runs.get(frame.token):
                if run.deaf:
                    self._hands.weather.counts["worker ignores a cancel"] += 1
                else:
                    run.stop.set()
            case Checkpointed() if run := self.runs.get(frame.token):
                if run.answer is not None and not run.answer.done():
                    run.answer.set_result(frame.lost)

    def read(self) -> None:
        while self._frames:
            self._owner.received(self._frames.popleft())

    def signal(self, number: signal.Signals) -> None:
        """Those who listen have heard the frame that came before."""

    def kill(self, broken: str | None = None) -> None:
        if self.alive:
            self.broken = self.broken or broken
            self._loop.call_later(self._rng.uniform(0, 0.001), self._fall, _KILLED)

    async def gone(self) -> Exit:
        await self._dead.wait()
        await pause(self._rng.uniform(0, 0.02))
        for run in self.runs.values():  # what they had started is gone as well
            self._hands.ended(run.claim)
        self.runs.clear()
        return self._how

    def _fall(self, how: Exit) -> None:
        """Be dead from here on."""
        if self.fallen:
            return
        self.fallen, self._how = True, how
        for task in self._tasks:
            task.cancel()
        self._loop.call_later(self._rng.uniform(0, 0.005), self._tell)

    def _tell(self) -> None:
        self.read()
        self._dead.set()
        self._owner.died(self._how)

    def go_on_alone(self) -> None:
        """Outlive the daemon by the time that it takes to begin the next job."""
        if self.fallen or not self._pair or self._lane == "io":
            return
        for run in self.runs.values():
            self._hands.ended(run.claim)
        self._hands.counts["begun without a daemon"] += 1
        self._hands.started(self._hands.claims[self._pair.take()])

    # what it does

    async def _live(self) -> None:
        await pause(self._rng.choice([0.0, 0.05, 0.5]))
        self._say(Ready())
        while await self._comes():
            token = self._pair.take()
            self._numbers += 1
            run = self._taken(token)
            if self._lane == "cpu":
                await self._run(run)
            else:
                self._begin(self._run(run))
        while self.runs:
            await pause(0.01)
        self._fall(Exit(0, None, None))

    async def _comes(self) -> bool:
        """Return when there is a job to be taken; False if none will be."""
        while True:
            while not self._pair:
                if not self._pair.open:
                    return False
                self._pair.came.clear()
                await self._pair.came.wait()
            await pause(self._rng.choice([0.0, 0.0001, 0.0001, 0.0005, 0.0005, 0.03]))
            if self._pair and self._behaviour(self._pair.next) == "dies before it takes":
                self._hands.weather.counts["worker dies before it takes"] += 1
                self._fall(_KILLED)
                await self._loop.create_future()
            if self._pair:
                return True

    def _behaviour(self, token: str) -> str:
        if token not in self._behaviours:
            weights = BEHAVIOURS
            if self._hands.claims[token].kind == SHORT:
                weights = OF_SHORT_ONES
            chosen = self._rng.choices([*weights], [*weights.values()])[0]
            if self._hands.weather.calm:
                chosen = self._rng.choice(CALM)
            self._behaviours[token] = chosen
        return self._behaviours[token]

    def _taken(self, token: str) -> Run:
        run = Run(
            self._hands.claims[token],
            self._numbers,
            self._behaviour(token),
            deaf=self._rng.random() < 0.2,
            began_s=self._loop.time(),
        )
        self._hands.weather.counts[f"worker {run.behaviour}"] += 1
        if run.claim.lane != self._lane:
            self._hands.wrong(f"job {run.claim.seq} is for the {run.claim.lane} lane")
        if run.behaviour != "cannot import":
            self.runs[token] = run
            self._hands.started(run.claim)
        else:  # it had its turn, and is to blame for what happens meanwhile
            self._hands.order.given_back(token)
            self._hands.took(token)
        return run

    async def _run(self, run: Run) -> None:
        if run.behaviour == "cannot import":
            await pause(0.002)
            error = Error(UNAVAILABLE, "no module", retryable=False)
            self._say(Finished(run.claim.token, Ended("failed", error=error), scratch=False))
            return
        ended = await self._handle(run)
        took_s = self._loop.time() - run.began_s
        del self.runs[run.claim.token]
        self._hands.ended(run.claim)
        self._hands.ending(run.claim)
        waited_s = min(took_s, self._pair.longest_s())
        if self._lane == "cpu" and waited_s > OVERRUN_S + FORESEEN_S:
            self._hands.wrong(f"one has waited behind job {run.claim.seq} for {waited_s:.3f} s")
        frame = Finished(
            run.claim.token,
            _timed(ended, took_s),
            handler="sim 1",
            scratch=False,
            worn=self._rng.random() < 0.03,
        )
        self._say(frame)
        if self._rng.random() < 0.1:  # twice
            self._say(frame)

    async def _handle(self, run: Run) -> Ended:
        if run.behaviour == "hangs":
            await self._stopped(run, None)
            return Ended("cancelled")
        takes_s = self._takes_s(run.behaviour)
        parts = self._rng.randrange(3) if takes_s > OVERRUN_S else 0
        for part in range(parts):
            if await self._stopped(run, takes_s / (parts + 1)):
                return self._obeys(run)
            self._say(Progress(run.claim.token, done=part))
            if self._rng.random() < 0.5 and await self._checkpoint(run, part):
                return Ended("cancelled")
        if await self._stopped(run, takes_s / (parts + 1)):
            return self._obeys(run)
        if run.behaviour == "crashes":
            self._page.number = run.number
            self._fall(_SEGFAULT)
            await self._loop.create_future()
        return self._ended(run)

    def _takes_s(self, behaviour: str) -> float:
        if behaviour == "overruns":
            return self._rng.uniform(0.025, 0.3)
        quick = behaviour == "is quick" or self._rng.random() < 0.3
        return self._rng.uniform(0, 0.003) if quick else self._rng.expovariate(1 / 3)

    async def _checkpoint(self, run: Run, part: int) -> bool:
        """Save, and return whether that was lost."""
        run.answer = self._loop.create_future()
        self._say(Checkpoint(run.claim.token, part, b"%d" % part))
        return await run.answer

    def _ended(self, run: Run) -> Ended:
        failed = Error("handler_error", "no", retryable=True)
        ends = {
            "raises": Ended("failed", error=failed),
            "asks to be retried": Ended(
                "failed", error=failed, retry_in_s=self._rng.choice(RETRIES_IN_S)
            ),
            "discards": Ended("failed", error=Error("discarded", "no", retryable=False)),
            "snoozes": Ended("snoozed", snooze_in_s=self._rng.uniform(0, 20)),
        }
        completed = Ended("completed", result_json=f'"{run.claim.attempt}"'.encode())
        return ends.get(run.behaviour, completed)

    def _obeys(self, run: Run) -> Ended:
        if self._rng.random() < 0.2 and run.behaviour != "crashes":
            return self._ended(run)  # it was at its end
        return Ended("cancelled")

    async def _stopped(self, run: Run, within_s: float | None) -> bool:
        """Return whether the attempt was asked to end in that time, and listens."""
        try:
            async with asyncio.timeout(within_s):
                await run.stop.wait()
        except TimeoutError:
            return False
        return True

    def _say(self, frame: Up) -> None:
        self._frames.append(frame)
        self._loop.call_later(self._rng.choice([0.0, 0.0002, 0.002]), self.read)


def _timed(ended: Ended, duration_s: float) -> Ended:
    fields: dict[str, Any] = {name: getattr(ended, name) for name in ended.__struct_fields__}
    return Ended(**{**fields, "duration_s": duration_s})
