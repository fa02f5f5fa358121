"""One simulated run: a seed, a disk, clients, one daemon after another, and what came of it.

First everything goes wrong for a while; then nothing does, and all that was begun has to
end. The run is then judged, by the oracle (every commit), the history's checker (what clients
and handlers saw), and by what must be so at the end.

Not here: which fault comes when (chaos.py).
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobd.domain.deliveries import age_limit_s
from jobd.domain.errors import JobdError, LeaseLost
from jobd.domain.jobs import Checkpoint, Progress, Settlement, Update
from jobd.domain.queues import QueueChange
from jobd.domain.statuses import TERMINAL, Status
from jobd.files.layout import Layout
from tests.checker import history
from tests.sim.chaos import Chaos
from tests.sim.clients import CLIENTS, QUEUES, Client
from tests.sim.disk import Disk
from tests.sim.hands import Hands
from tests.sim.house import CONFIG, ENDPOINT, House
from tests.sim.loop import Stuck, VirtualLoop
from tests.sim.neglect import Neglect
from tests.sim.oracle import Oracle
from tests.sim.order import Order
from tests.sim.pauses import Pauses
from tests.sim.receiver import TIMEOUT_S
from tests.sim.weather import Machine, Weather, pause, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from jobd.domain.jobs import Claim
    from jobd.webhooks.sender import Post

_JOB_ID = re.compile(r"job_[0-9a-f]{32}")

ASKS = 20
"""By each client."""

CANCELLED_SHARE = 0.08
"""Of the attempts are cancelled while their end is on its way."""

LIVES_S = 5 * 86_400.0
"""So long, of virtual time, all may take to end once nothing goes wrong."""

_OPEN_JOBS = """
SELECT seq, status, run_at FROM jobs WHERE status NOT IN ('completed', 'failed', 'cancelled')
"""
_OPEN_DELIVERIES = """
SELECT delivery_id, status, next_attempt_at FROM deliveries
WHERE status NOT IN ('succeeded', 'dead')
"""
_MESSAGES = "SELECT messages.event_id, message_id FROM messages JOIN jobs USING (seq)"
_DELIVERIES = """
SELECT message_id, receiver, deliveries.status, attempt_count, dead_reason, next_attempt_at,
  ended_at - begun_at
FROM deliveries JOIN jobs USING (seq)
"""


@dataclass
class Outcome:
    """What a run came to."""

    seed: int
    digest: str
    violations: list[str]
    counts: Counter[str] = field(default_factory=Counter)
    """How often each thing happened, by `group: thing`."""
    virtual_s: float = 0.0


class World:
    """Everything that there is in a run."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.loop = VirtualLoop(stream(seed, "loop"))
        self.machine = Machine(self.loop)
        self.weather = Weather()
        self.oracle = Oracle(
            _limits(),
            max_jobs=CONFIG.retention.max_jobs,
            wall_ms=self.machine.shown_lately_ms,
            note=self.note,
        )
        self.oracle.retired = lambda job_id: self.line("retire", job_id=job_id)
        self.disk = Disk(self.weather, stream(seed, "disk"), self.oracle)
        self.layout = Layout(folder)
        self.pauses = Pauses(_limits())
        self.cancelled: set[str] = set()
        """Jobs of which somebody was told that they are cancelled, or will be."""
        self.at_hand: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.retrying: Counter[str] = Counter()
        """Jobs of which a copy is being asked for."""
        self.lines: list[history.Line] = []
        self.alive: dict[str, Claim] = {}
        """Runs whose processes live, by job."""
        self.chaos = Chaos(self)
        self.clients = [Client(self, number) for number in range(CLIENTS)]
        self._outside = contextvars.copy_context()
        """Of no daemon: what goes on in it outlives them."""
        self._at = itertools.count(1)
        self._trace = hashlib.blake2b(digest_size=16)
        self._names: dict[str, str] = {}

    # what is written down

    def line(self, op: str, **fields: Any) -> None:
        """Write a line of the history."""
        self.lines.append({"op": op, "at": next(self._at), **fields})
        self.note(op, *fields.items())

    def note(self, *what: Any) -> None:
        """Take something into the digest of the run, with the moment; ids by their order."""
        said = repr((round(self.loop.time(), 6), *(self._named(one) for one in what)))
        self._trace.update(said.encode())

    def _named(self, what: Any) -> Any:
        if isinstance(what, tuple):
            return tuple(self._named(one) for one in what)
        if isinstance(what, str) and "job_" in what:
            return self._names.setdefault(what, f"#{len(self._names)}")
        return what

    # what workers do

    def hands(self) -> Hands:
        """Return what the workers of a daemon leave traces with."""
        self.order = Order(self.oracle.wrong, self.loop.time)
        return Hands(
            rng=stream(self.seed, f"workers of {self.chaos.lives}"),
            weather=self.weather,
            counts=self.at_hand,
            started=self.started,
            ended=self.ended,
            took=self.oracle.begun.add,
            ending=self.ending,
            lie=self.lie,
            wrong=self.oracle.wrong,
            order=self.order,
            recalled_by=self.pauses.newest,
            priority=lambda claim: self.oracle.jobs[claim.seq].priority,
        )

    def started(self, claim: Claim) -> None:
        """Judge that a worker has begun a job."""
        job_id, queue, wrong = claim.job_id, claim.queue, self.oracle.wrong
        if job_id in self.alive:
            self.line("overlap", job_id=job_id)
        self.alive[job_id] = claim
        self.oracle.begun.add(claim.token)
        self.order.began(claim.token)
        if self.pauses.forbids(queue):
            wrong(f"job {claim.seq} began though {queue} was paused")
        if job_id in self.cancelled:
            wrong(f"job {claim.seq} began though it was cancelled")
        most, running = self.pauses.most(queue), [one.queue for one in self.alive.values()]
        if most is not None and running.count(queue) > most:
            wrong(f"job {claim.seq} began as one of {running.count(queue)} of {queue}, for {most}")
        self.line("start", **self._run(claim), attempt=claim.attempt)

    def ended(self, claim: Claim) -> None:
        self.alive.pop(claim.job_id, None)
        self.line("end", **self._run(claim))

    def ending(self, claim: Claim) -> None:
        """Have somebody cancel a job whose end is on its way to the daemon, now and then."""
        if not self.weather.calm and self.chaos.rng.random() < CANCELLED_SHARE:
            self.loop.create_task(self.clients[0].cancel_one(claim.job_id), context=self._outside)

    def _run(self, claim: Claim) -> dict[str, Any]:
        key = self.oracle.labels.get(claim.job_id)
        return {"job_id": claim.job_id, "key": key, "run": f"{claim.job_id} {claim.attempt}"}

    def lie(self, claim: Claim) -> None:
        """Have a worker say again, or too late, that it is done, or how far it is."""
        house = self.chaos.house
        if house is not None and house.serving:
            self.loop.spawn(house.life, self._lie(house, claim))

    async def _lie(self, house: House, claim: Claim) -> None:
        rng = self.chaos.rng
        await pause(rng.choice([0, 0.01, rng.uniform(0.02, 10)]))
        row = self.oracle.jobs.get(claim.seq)
        if row is not None and row.token == claim.token:
            return  # its own settlement is on its way, and either may be first
        what = rng.choice(["settle", "settle", "progress", "checkpoint"])
        again = "twice" if row is None or row.token is None else "beside its successor"
        try:
            if what == "settle":
                await house.writer.settle(Settlement(claim.seq, claim.token, Status.COMPLETED))
            elif what == "progress":
                await house.writer.progress(Update(claim.seq, claim.token, Progress(done=9)))
            else:
                await house.writer.checkpoint(Checkpoint(claim.seq, claim.token, b"9"))
        except LeaseLost:
            self.weather.counts[
                f"{'settle' if what == 'settle' else 'report'} {again} refused"
            ] += 1
        except JobdError:
            pass
        else:
            self.oracle.wrong(f"job {claim.seq} took a {what} of a lease that was over")

    # what clients do

    def connect(
        self, ask: Callable[[House], Coroutine[Any, Any, Any]]
    ) -> asyncio.Future[Any] | None:
        """Ask the daemon; None if none is there. It does not notice who hangs up."""
        house = self.chaos.house
        if house is None or not house.serving:
            return None
        connection: asyncio.Future[Any] = self.loop.create_future()
        house.connections.add(connection)
        self.loop.spawn(house.life, self._serve(house, ask, connection))
        return connection

    async def _serve(
        self,
        house: House,
        ask: Callable[[House], Coroutine[Any, Any, Any]],
        connection: asyncio.Future[Any],
    ) -> None:
        try:
            answer, error = await ask(house), None
        except Exception as refusal:  # noqa: BLE001 - it is the answer
            answer, error = None, refusal
        await pause(self.chaos.rng.uniform(0, 0.01))
        house.connections.discard(connection)
        if connection.done():
            return
        if error is None:
            connection.set_result(answer)
        else:
            connection.set_exception(error)

    # the run

    def run(self) -> Outcome:
        """Make the run and judge it."""
        try:
            return self._outcome()
        finally:
            self.loop.dispose()
            self.disk.close()

    def _outcome(self) -> Outcome:
        try:
            self.loop.run_until_complete(self._main())
        except Stuck as stuck:
            self.oracle.wrong(f"nothing goes on any more: {stuck}")
        violations = [*self.oracle.violations, *self.loop.mishaps]
        try:
            violations += self._judged().violations
        except history.HistoryError:
            self.calls["proves nothing"] += 1
        said = [_JOB_ID.sub(self._seq_of, violation) for violation in violations]
        return Outcome(self.seed, self._trace.hexdigest(), said, self._counts(), self.loop.time())

    def _seq_of(self, job_id: re.Match[str]) -> str:
        """Return what the job is called in every run of the seed; its id differs."""
        return f"job {self.oracle.seqs.get(job_id[0], '?')}"

    async def _main(self) -> None:
        keeping = asyncio.create_task(self.chaos.keep())
        harming = asyncio.create_task(self.chaos.harm())
        clients = self.clients
        await asyncio.gather(*(client.work(ASKS) for client in clients))
        harming.cancel()
        await self.chaos.relent()
        await asyncio.gather(*(client.insist() for client in clients))
        for queue in sorted(set(QUEUES)):
            while await clients[0].change_queue(QueueChange(queue, paused=False)) != "ok":
                await pause(1)
        if await self._all_over():
            self._end()
        keeping.cancel()

    async def _all_over(self) -> bool:
        """Wait until every job and every delivery is over; nothing may be left lying meanwhile."""
        until_s = self.loop.time() + LIVES_S
        neglect = Neglect(self.disk, _limits())
        wait_s = 3.0
        while self._open():
            if self.loop.time() > until_s:
                self.oracle.wrong(f"these do not end: {self._open()}")
                return False
            await pause(wait_s)
            wait_s = min(wait_s * 1.2, 3600)
            house = self.chaos.house
            assert house is not None
            self.oracle.violations += neglect.look(
                house.dispatcher.free_slots(), self.machine.wall_ms(), self.loop.time()
            )
        await pause(5)
        return True

    def _open(self) -> list[Any]:
        return self.disk.rows(_OPEN_JOBS) + self.disk.rows(_OPEN_DELIVERIES)

    def _end(self) -> None:
        house = self.chaos.house
        assert house is not None
        finished = sum(row.status in TERMINAL for row in self.oracle.jobs.values())
        wanted = {"known": True, "finished": finished}
        if house.tally() != wanted:
            self.oracle.wrong(f"the tally says {house.tally()} and the rows {wanted}")

    def received(self, post: Post) -> None:
        """Note that a receiver has a message; its id and body differ from run to run."""
        origin = post.target.origin
        receiver = ENDPOINT.endpoint_id if ENDPOINT.url.startswith(origin) else origin
        self._quietly("received", message=post.message_id, receiver=receiver, body=post.body)

    def _quietly(self, op: str, **fields: Any) -> None:
        """Write a line of the history that is no part of the digest."""
        self.lines.append({"op": op, "at": next(self._at), **fields})

    def _tell_messages(self) -> None:
        """Write who was to be told of the events that are there, and what came of it."""
        for event, (seq, to) in self.oracle.owed.items():
            if seq in self.oracle.jobs:
                self._quietly("owed", event=event, to=to)
        for event, message in self.disk.rows(_MESSAGES):
            self._quietly("message", event=event, message=message)
        limit_ms = 1000 * age_limit_s(CONFIG.webhooks.schedule_s, TIMEOUT_S)
        for message, receiver, status, attempts, reason, due, age_ms in self.disk.rows(_DELIVERIES):
            self.weather.counts[f"callback {status}"] += 1
            self._quietly(
                "delivery",
                message=message,
                receiver=receiver,
                status=status,
                attempts=attempts,
                reason=reason,
                due=due is not None,
                too_old=age_ms is not None and age_ms >= limit_ms,
            )

    def _judged(self) -> history.Report:
        for row in self.oracle.jobs.values():
            key = self.oracle.labels[row.job_id]
            self.line("final", job_id=row.job_id, key=key, status=row.status, most_runs=row.attempt)
        self._tell_messages()
        return history.check(self.lines)

    def _counts(self) -> Counter[str]:
        groups = {
            "move": self.oracle.transitions,
            "fault": self.weather.counts,
            "killed": self.chaos.points,
            "call": self.calls,
            "at hand": self.at_hand,
        }
        return Counter(
            {f"{name}: {what}": n for name, of in groups.items() for what, n in of.items()}
        )


def _limits() -> dict[str, int]:
    return {name: queue.concurrency for name, queue in CONFIG.queues.items() if queue.concurrency}


def simulate(seed: int, folder: Path) -> Outcome:
    """Make the run of a seed; `folder` is for what jobs leave on disk, which is nothing."""
    return World(seed, folder).run()
