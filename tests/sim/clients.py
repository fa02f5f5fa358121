"""What the clients of a run ask for, and what they write down of the answers.

They write the lines that tests/checker/history.py judges. A client whose keyed submission
was not answered asks again with the same key, as they are told to.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

from jobd.domain.errors import JobdError, NotFound, OutcomeUnknown
from jobd.domain.events import CALLBACK_TYPES
from jobd.domain.jobs import IdempotencyKey
from jobd.domain.queues import QueueChange
from jobd.domain.statuses import TERMINAL, Status
from jobd.engine.commands import Submission
from jobd.store.database import DatabaseUnusable
from tests.sim.child import SHORT
from tests.sim.house import KINDS
from tests.sim.weather import pause, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from jobd.domain.jobs import Job
    from tests.sim.house import House
    from tests.sim.world import World

CLIENTS = 4
QUEUES = ("default", "default", "narrow", "other")
PATIENCE_S = 15.0
THINKS_S = 3.0
ASKS = {"submit": 38, "burst": 8, "poll": 23, "cancel": 9, "retry": 9, "delete": 5, "queue": 8}
TRIES = 12
STRUCK_SHARE = 0.15
"""Of the retries are asked for just before a read fails."""

Answer = dict[str, Any]


class Client:
    """One of those who ask."""

    def __init__(self, world: World, number: int) -> None:
        self.name = f"client {number}"
        self.unanswered: dict[str, Submission] = {}
        """Keyed submissions of which it does not know whether they were made."""
        self._world = world
        self._rng = stream(world.seed, self.name)
        self._calls = 0
        self._labels = 0
        self._jobs: dict[str, str] = {}
        """The status in which it last saw each of its jobs."""

    async def work(self, asks: int) -> None:
        """Ask so many things."""
        for _ in range(asks):
            await pause(self._rng.expovariate(1 / THINKS_S))
            ask = self._rng.choices([*ASKS], [*ASKS.values()])[0]
            if ask == "submit" or not (self._jobs or ask in {"queue", "burst"}):
                await self._submit()
            else:
                await getattr(self, f"_{ask}")()

    async def insist(self) -> None:
        """Find out what became of what was never answered."""
        for submission in list(self.unanswered.values()):
            while await self._try(submission) == "unknown":
                await pause(1)

    async def _submit(self) -> None:
        submission = self._submission()
        if submission.idempotency is None:
            await self._try(submission)
            return
        if self._rng.random() < 0.2:  # two at once: somebody pressed twice
            await asyncio.gather(self._try(submission), self._try(submission))
        await self._ask_until_known(submission)

    async def _ask_until_known(self, submission: Submission) -> None:
        for _ in range(TRIES):
            if await self._try(submission) != "unknown" or submission.idempotency is None:
                return
            await pause(self._rng.uniform(0.1, 5))

    async def _burst(self) -> None:
        """Ask for many short jobs at once, and think better of it while they are at hand."""
        rng, queue = self._rng, self._rng.choice(["default", "default", "other"])
        before = set(self._jobs)
        new = [self._submission(queue, SHORT) for _ in range(rng.randrange(4, 10))]
        await asyncio.gather(*map(self._ask_until_known, new))
        await pause(rng.choice([0, 0, rng.uniform(0, 0.02)]))
        match rng.randrange(6):
            case 0 | 1:
                jobs = [one for one in self._jobs if one not in before]
                count = min(len(jobs), rng.randrange(1, 4))
                await asyncio.gather(*map(self.cancel_one, rng.sample(jobs, count)))
            case 2:
                await self._pause_for_a_while(queue)
            case 3:
                await self.change_queue(QueueChange(queue, concurrency=rng.choice([1, 2])))
                await pause(rng.uniform(0, 2))
                await self.change_queue(QueueChange(queue, concurrency=None))
            case 4 if not self._world.weather.calm and rng.random() < 0.5:
                self._world.chaos.drain()

    def _submission(self, queue: str | None = None, kind: str | None = None) -> Submission:
        rng = self._rng
        self._labels += 1
        now_ms = self._world.machine.wall_ms()
        key = f"{self.name}-{self._labels}" if rng.random() < 0.6 else None
        later = kind is None and rng.random() < 0.25
        run_at = now_ms + rng.randrange(40_000) if later else None
        start_before = None
        if rng.random() < 0.2:
            start_before = (run_at or now_ms) + rng.randrange(1000, 30_000)
        told = rng.random() < 0.5
        return Submission(
            principal=f"uid:{rng.randrange(2)}" if key is None else f"uid:{len(self.name) % 2}",
            kind=kind or rng.choice([*KINDS]),
            args={"key": key},
            queue=queue or rng.choice(QUEUES),
            priority=rng.choice([0, 5, 5, 9]),
            run_at_ms=run_at,
            start_before_ms=start_before,
            timeout_s=rng.choice([None, 4, 10]),
            max_attempts=rng.choice([1, 2, 3, 10]),
            callback_url="https://receiver.example/hook" if told else None,
            callback_events=CALLBACK_TYPES if told and rng.random() < 0.3 else None,
            idempotency=None if key is None else IdempotencyKey(key, "POST /v1/jobs", b"1"),
        )

    async def _try(self, submission: Submission) -> str:
        key = None if submission.idempotency is None else submission.idempotency.key
        if key is not None:
            self.unanswered[key] = submission

        weather = self._world.weather
        if not weather.calm and self._rng.random() < 0.03:  # it may be in that very commit
            weather.strike = "EIO after it applied"

        async def submit(house: House) -> Answer:
            accepted = await house.commands.submit(submission)
            return _seen(accepted.job, key)

        outcome = await self._call("submit", submit, key=key)
        if key is not None and outcome != "unknown":
            self.unanswered.pop(key, None)
        return outcome

    def _a_job(self, *, over: bool = False) -> str | None:
        jobs = [one for one, seen in self._jobs.items() if not over or seen in TERMINAL]
        return self._rng.choice(jobs) if jobs else None

    async def _poll(self) -> None:
        job_id = self._a_job()
        assert job_id is not None

        async def poll(house: House) -> Answer:
            job = await house.readers.get(job_id, detail=True)
            return self._missing(job_id) if job is None else self._of(job)

        await self._call("poll", poll, job_id=job_id)

    async def _cancel(self) -> None:
        job_id = self._a_job()
        assert job_id is not None
        await self.cancel_one(job_id)

    async def cancel_one(self, job_id: str) -> None:
        """Cancel a job, whosever it is."""

        async def cancel(house: House) -> Answer:
            try:
                job, _running = await house.commands.cancel(job_id)
            except NotFound:
                return self._missing(job_id)
            return self._of(job)

        if await self._call("cancel", cancel, job_id=job_id) == "ok":
            self._world.cancelled.add(job_id)

    async def _retry(self) -> None:
        job_id = self._a_job(over=True)
        if job_id is None:
            return

        async def retry(house: House) -> Answer:
            if not self._world.weather.calm and self._rng.random() < STRUCK_SHARE:
                self._world.weather.read_strike = True  # it may be the one behind the commit
            return _seen(await house.commands.retry(job_id), f"retry of {job_id}")

        label, labels, open_ = f"retry of {job_id}", self._world.oracle.labels, self._world.retrying
        was_there = label in labels.values()
        open_[job_id] += 1
        outcome = await self._call("retry", retry, job_id=job_id)
        open_[job_id] -= outcome != "unknown"
        if outcome == "fail" and not was_there and not open_[job_id] and label in labels.values():
            self._world.oracle.wrong(f"a retry of {job_id} was refused and made a job")

    async def _delete(self) -> None:
        job_id = self._a_job(over=True)
        if job_id is None:
            return

        async def delete(house: House) -> Answer:
            await house.commands.delete(job_id)
            return self._missing(job_id)

        deletable = self._world.oracle.deletable
        deletable[job_id] += 1
        outcome = await self._call("delete", delete, job_id=job_id)
        deletable[job_id] -= outcome == "fail"

    async def _queue(self) -> None:
        queue = self._rng.choice(QUEUES)
        match self._rng.randrange(3):
            case 0:
                change = QueueChange(queue, concurrency=self._rng.choice([1, 2, None]))
            case 1:
                change = QueueChange(queue, paused=True)
            case _:
                change = QueueChange(queue, paused=False)
        if change.paused and self._rng.random() < 0.7:  # what comes just before it is claimed
            new = [self._try(self._submission(queue)) for _ in range(2)]
            await asyncio.gather(*new, self._soon(change))
        else:
            await self.change_queue(change)
        if change.paused:
            await self._resume_later(queue)

    async def _pause_for_a_while(self, queue: str) -> None:
        await self.change_queue(QueueChange(queue, paused=True))
        await self._resume_later(queue)

    async def _resume_later(self, queue: str) -> None:
        await pause(self._rng.uniform(0, 10))  # a paused queue says little
        await self.change_queue(QueueChange(queue, paused=False))

    async def _soon(self, change: QueueChange) -> None:
        await pause(self._rng.uniform(0, 0.05))
        await self.change_queue(change)

    async def change_queue(self, change: QueueChange) -> str:
        """Change a queue; what a pause promises is held against what starts."""

        async def set_queue(house: House) -> Answer:
            await house.commands.queues.change(change)
            return {}

        asked = self._world.pauses.asked(change)
        outcome, _ = await self._answered(set_queue)
        self._world.calls[f"queue {outcome}"] += 1
        self._world.pauses.answered(change, asked, outcome)
        return outcome

    def _of(self, job: Job) -> Answer:
        return _seen(job, self._world.oracle.labels[job.job_id])

    def _missing(self, job_id: str) -> Answer:
        return {"job_id": job_id, "key": None, "status": "missing"}

    async def _call(
        self, call: str, ask: Callable[[House], Coroutine[Any, Any, Answer]], **about: Any
    ) -> str:
        """Ask the daemon that there is, and write down what came of it."""
        self._calls += 1
        n = self._calls
        self._world.line("invoke", who=self.name, n=n, call=call, **about)
        outcome, answer = await self._answered(ask)
        self._world.calls[f"{call} {outcome}"] += 1
        self._world.line("return", who=self.name, n=n, outcome=outcome, **answer)
        if "status" in answer:
            self._jobs[answer["job_id"]] = answer["status"]
            if answer["status"] == "missing":
                self._jobs.pop(answer["job_id"])
        return outcome

    async def _answered(
        self, ask: Callable[[House], Coroutine[Any, Any, Answer]]
    ) -> tuple[str, Answer]:
        connection = self._world.connect(ask)
        if connection is None:
            return "fail", {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                return "ok", await connection
        except (OutcomeUnknown, ConnectionError, TimeoutError, sqlite3.Error, DatabaseUnusable):
            return "unknown", {}
        except JobdError as error:
            self._world.calls[f"refused: {error.code}"] += 1
            return "fail", {}


def _seen(job: Job, key: str | None) -> Answer:
    seen: Answer = {"job_id": job.job_id, "key": key, "status": job.status.value}
    if job.status is Status.COMPLETED and job.result is not None:
        seen["result"] = job.result.body
    return seen
