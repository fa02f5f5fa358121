"""The store and the engine on a real file, made to take one step after another.

The pool is the test's: an attempt ends when and how the test says. Between two steps
nothing goes on: no batch, and no claim on its way to the pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from jobd.bus import Bus
from jobd.domain.ahead import Ahead, stands_alone
from jobd.domain.backoff import BackoffPolicy
from jobd.domain.catalog import Catalog, HandlerSpec, Lane
from jobd.domain.errors import NotFound
from jobd.domain.outcomes import CancelledByRequest, NotStarted
from jobd.engine.dispatcher import Dispatcher
from jobd.engine.kinds import Kinds
from jobd.files.layout import Layout
from jobd.files.logs import Logs
from jobd.store.database import Database
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.parking import START
from jobd.store.rules import Rules
from jobd.store.writer import Writer
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from jobd.domain.events import Event
    from jobd.domain.jobs import Claim
    from jobd.domain.outcomes import Outcome
    from jobd.domain.queues import QueueChange

RULES = Rules(
    # the odd half seconds: no deadline is ever met to the millisecond
    max_age_ms=7_200_500,
    handler_missing_ms=600_500,
    queued_jobs=14,
    queued_jobs_per_principal=9,
    concurrency={"narrow": 1},
)
BACKOFF = BackoffPolicy(base_s=60)
RANDOM = 0.5
SHARES = {"t.cpu": 0.5}
"""Kinds that are claimed ahead of a free slot: two of it are at hand in a worker."""


@dataclass
class Held:
    """An attempt that runs until the test ends it, or waits behind one that does."""

    claim: Claim
    outcome: asyncio.Future[Outcome]
    begun: bool


class HeldPool:
    """A pool of so many slots; a slot is free again in the loop's turn that settles."""

    def __init__(self) -> None:
        self.size: dict[Lane, int] = {"cpu": 0, "io": 0}
        self.held: dict[str, Held] = {}

    def free(self) -> dict[Lane, int]:
        busy = [one.claim.lane for one in self.held.values()]
        return {lane: max(0, size - busy.count(lane)) for lane, size in self.size.items()}

    def ahead(self) -> Ahead:
        taken = sum(self.share_of(one.claim) or 1.0 for one in self.held.values())
        return Ahead(max(0.0, self.size["cpu"] - taken), SHARES)

    def share_of(self, claim: Claim) -> float | None:
        """What one takes of its worker; None: all of it. Jobs of the io lane are not asked for."""
        if claim.lane == "io":
            return 1e-12
        return None if claim.limited or stands_alone(claim) else SHARES.get(claim.kind)

    def begin(self, claim: Claim) -> asyncio.Future[Outcome]:
        idle = self.free()[claim.lane] > 0
        assert idle or (claim.lane == "cpu" and self.share_of(claim) is not None)
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.held[claim.token] = Held(claim, outcome, begun=idle)
        outcome.add_done_callback(lambda _: self._left(claim.token))
        return outcome

    def _left(self, token: str) -> None:
        """Have the next one begin where one has ended."""
        was = self.held.pop(token)
        at_hand = self.at_hand()
        if was.begun and was.claim.lane == "cpu" and at_hand:
            at_hand[0].begun = True

    def at_hand(self) -> list[Held]:
        """Return those that wait behind another, the longest first."""
        return [one for one in self.held.values() if not one.begun]

    def cancel(self, token: str) -> bool:
        self._give_back(token, CancelledByRequest())
        return token in self.held

    def recall(self, token: str) -> bool:
        return self._give_back(token, NotStarted())

    def _give_back(self, token: str, outcome: Outcome) -> bool:
        one = self.held.get(token)
        if one is None or one.begun or one.outcome.done():
            return False
        one.outcome.set_result(outcome)
        return True


class Row(NamedTuple):
    """What the file says of one job."""

    seq: int
    status: str
    lane: str
    parked: bool
    attempt: int
    failures: int
    crashes: int
    interrupted: int
    released: int
    snoozes: int
    cancel_requested: bool
    run_at: int | None
    token: str | None
    expires_at: int | None
    retried_as: str | None
    error: str | None
    result: str | None
    done: int | None
    checkpoint: bytes | None


_ROWS = """
SELECT
  jobs.seq, status, lane, status = 'queued' AND parked_at IS NOT NULL, attempt,
  failures, crashes, interrupted, released, snoozes, cancel_requested, run_at, lease_token,
  expires_at, retried_as, error ->> '$.code', CAST(body AS TEXT), done, data
FROM jobs
LEFT JOIN job_results ON job_results.seq = jobs.seq
LEFT JOIN progress ON progress.seq = jobs.seq
LEFT JOIN checkpoints ON checkpoints.seq = jobs.seq
ORDER BY jobs.seq
"""


class World:
    """One daemon's store and engine after another, over one history."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._starts = 0
        self._commits = 0
        self._path = folder
        self.database: Database
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.claims: list[Claim] = []
        """Made in this step."""
        self.deaths: list[BaseException] = []
        self.kinds = Kinds()

    async def start(self) -> None:
        """Begin as a daemon does, without its workers: slots come with `resize`."""
        self._starts += 1
        path = self._folder / f"{self._starts}.db"
        if self._starts > 1:
            # as kill -9 leaves it: the file and its WAL, in which all that was answered is
            shutil.copy(self._path, path)
            shutil.copy(f"{self._path}-wal", f"{path}-wal")
            await self.database.close()
        self._path = path
        layout = Layout(self._folder)
        self.pool = HeldPool()
        bus = Bus()
        bus.subscribe(self.events.append)
        self.database = await Database.open(path, synchronous="normal", readers=1)
        self.dispatcher = Dispatcher(
            self.kinds,
            Logs(layout.logs, head_bytes=1000),
            layout=layout,
            default_backoff=BACKOFF,
            random=lambda: RANDOM,
        )
        around = Around(
            publish=lambda events: self._publish(bus, events),
            free_slots=self.dispatcher.free_slots,
            ahead=self.dispatcher.ahead,
            claimed=self._claimed,
            died=self.deaths.append,
            messages=lambda _: None,
            runnable=lambda: self.kinds.lanes,
        )
        self.writer = Writer(GroupCommit(self.database, self.clock, RULES, around))
        await self.writer.start()
        await self.writer.count()
        await self.writer.recover()
        self.dispatcher.start(self.pool, self.writer)

    async def kill(self) -> None:
        """End what runs without settling it, and the writer."""
        self.dispatcher.pause()
        await self.writer.close()

    async def close(self) -> None:
        """End for good."""
        await self.kill()
        await self.database.close()

    def _publish(self, bus: Bus, events: Sequence[Event]) -> None:
        self._commits += 1
        bus.publish(events)

    def _claimed(self, claims: list[Claim]) -> None:
        self.claims += claims
        self.dispatcher.claimed(claims)

    async def quiet(self) -> None:
        """Return when nothing goes on any more."""
        alone = 0
        while alone < 2:  # the first may have joined a batch that was due anyway
            commits, events = self._commits, len(self.events)
            with contextlib.suppress(NotFound):
                await self.writer.cancel("job_none")
            quiet = (self._commits, len(self.events)) == (commits + 1, events)
            alone = alone + 1 if quiet else 0

    async def end(self, token: str, outcome: Outcome) -> None:
        """End an attempt; returns when it is settled."""
        self.pool.held[token].outcome.set_result(outcome)
        await self.quiet()

    async def cancel(self, job_id: str) -> None:
        """Cancel as the command does."""
        cancelled = await self.writer.cancel(job_id)
        if cancelled.token is not None:
            self.dispatcher.cancel(cancelled.token)

    async def set_queue(self, change: QueueChange) -> None:
        """Change a queue as the command does."""
        await self.writer.set_queue(change)
        if change.paused or isinstance(change.concurrency, int):
            self.dispatcher.paused(change.name)

    async def give_back(self) -> None:
        """Take back all that waits behind another."""
        for one in self.pool.at_hand():
            assert self.pool.recall(one.claim.token)

    async def install(self, lanes: Mapping[str, Lane]) -> None:
        """Have these kinds, and no other."""
        self.kinds.install(
            Catalog({k: HandlerSpec(k, lane, "dist", "1", "m:f") for k, lane in lanes.items()})
        )
        self.writer.wake()
        assert await self.writer.unpark(START) is None

    def resize(self, lane: Lane, size: int) -> None:
        """Have so many slots; what runs goes on."""
        self.pool.size[lane] = size
        self.dispatcher.slots_free()

    async def rows(self) -> dict[int, Row]:
        """Read all jobs."""
        rows = await self.database.read(lambda c: c.execute(_ROWS).fetchall())
        return {row[0]: Row(*row) for row in rows}

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Look into the file."""
        return await self.database.read(lambda c: [tuple(row) for row in c.execute(sql)])

    def jump(self, seconds: float) -> None:
        """Set the wall clock; forward it is not believed, back at once."""
        trusted = self.clock.trusted_ms()
        self.clock.jump(seconds)
        self.clock.trusted = min(trusted, self.clock.wall_ms())

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if self.clock.trusted is not None:
            self.clock.trusted += round(seconds * 1000)
        self.clock.advance(seconds)
