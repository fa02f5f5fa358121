"""The store on a real file, with a clock that stands still and all that it publishes kept."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from jobd.domain.ahead import NOTHING, Ahead
from jobd.domain.catalog import Lane
from jobd.domain.endpoints import ID_PREFIX, Endpoint, NewEndpoint
from jobd.domain.events import Event
from jobd.domain.ids import IdSource
from jobd.domain.jobs import Claim, IdempotencyKey, Job, NewJob, Settlement, Submitted
from jobd.domain.signing import new_secret
from jobd.domain.statuses import Status
from jobd.store.database import Database
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.readers import Readers
from jobd.store.rules import Rules
from jobd.store.writer import Writer
from tests.support.clock import FakeClock

RULES = Rules(
    max_age_ms=30 * 86_400_000,
    handler_missing_ms=3_600_000,
    queued_jobs=1_000_000,
    queued_jobs_per_principal=100_000,
)


class Seen:
    """The daemon's side of a writer: gives it slots, keeps what it hands out."""

    def __init__(self) -> None:
        self.free: dict[Lane, int] = {"cpu": 0, "io": 0}
        self.ahead = NOTHING
        self.events: list[Event] = []
        self.claims: list[Claim] = []
        self.log: list[str] = []
        self.receivers: set[str] = set()
        self.told: list[str] = []
        """The same, in the order in which it was said."""
        self.deaths: list[BaseException] = []
        self.claim_made = asyncio.Event()
        self.kinds: Mapping[str, Lane] | None = None

    def free_slots(self) -> Mapping[Lane, int]:
        return self.free

    def publish(self, events: Sequence[Event]) -> None:
        self.events += events
        self.log += ["events"] * bool(events)

    def claimed(self, claims: list[Claim]) -> None:
        self.log.append("claims")
        self.claims += claims
        for claim in claims:
            self.free[claim.lane] = max(0, self.free[claim.lane] - 1)
            share = self.ahead.shares.get(claim.kind, 1.0)
            self.ahead = Ahead(self.ahead.room - share, self.ahead.shares)
        self.claim_made.set()

    def messages(self, receivers: Collection[str]) -> None:
        self.log.append("messages")
        self.receivers |= set(receivers)
        self.told += receivers

    def types(self, seq: int) -> list[str]:
        """What was published of one job."""
        return [event.type.removeprefix("job.") for event in self.events if event.seq == seq]


class NewJobs(Protocol):
    def __call__(self, key: str | None = None, fingerprint: bytes = b"f", **fields: Any) -> NewJob:
        """Return a submission nobody else has made."""


class Store:
    """One open database with its writer and readers."""

    def __init__(
        self, database: Database, writer: Writer, seen: Seen, clock: FakeClock, new_job: NewJobs
    ) -> None:
        self.database = database
        self.writer = writer
        self.readers = Readers(database)
        self.seen = seen
        self.clock = clock
        self.new_job = new_job
        self._ids = IdSource()

    @contextlib.asynccontextmanager
    async def counting_steps(self) -> AsyncIterator[list[None]]:
        """Give a list that grows by an entry for each step of SQLite's machine that reads."""
        steps: list[None] = []
        # the last one put back is the first one taken: always the same connection
        await self.database.read(lambda c: c.set_progress_handler(lambda: steps.append(None), 1))
        yield steps
        await self.database.read(lambda c: c.set_progress_handler(None, 0))

    async def submit(self, **fields: Any) -> Submitted:
        return await self.writer.submit(self.new_job(**fields))

    async def claim(self, count: int = 1, lane: Lane = "cpu") -> list[Claim]:
        """Give `count` slots and return the claims made for them."""
        before = len(self.seen.claims)
        self.seen.free[lane] = count
        self.writer.wake()
        while len(self.seen.claims) < before + count:
            self.seen.claim_made.clear()
            await self.seen.claim_made.wait()
        return self.seen.claims[before:]

    async def running(self, **fields: Any) -> Claim:
        """Return the claim of a new job that is alone in the store."""
        await self.submit(**fields)
        (claim,) = await self.claim()
        return claim

    async def settled(
        self, status: Status, *, new: dict[str, Any] | None = None, **fields: Any
    ) -> Claim:
        """Run a new job to `status` and return the claim it ended."""
        claim = await self.running(**new or {})
        await self.settle(claim, status, **fields)
        return claim

    async def settle(self, claim: Claim, status: Status, **fields: Any) -> None:
        await self.writer.settle(Settlement(claim.seq, claim.token, status, **fields))

    async def endpoint(self, **fields: Any) -> Endpoint:
        """Register an endpoint that is told of the ends of all jobs, but for `fields`."""
        return await self.writer.add_endpoint(self.new_endpoint(**fields))

    def new_endpoint(self, **fields: Any) -> NewEndpoint:
        plain: dict[str, Any] = {
            "endpoint_id": self._ids.next(ID_PREFIX, self.clock.ms),
            "principal": "uid:1000",
            "url": "https://example.com/registered",
            "secret": new_secret(),
        }
        return NewEndpoint(**plain | fields)

    async def job(self, job_id: str) -> Job:
        job = await self.readers.get(job_id, detail=True)
        assert job is not None
        return job

    async def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the file."""
        return await self.database.read(
            lambda connection: [tuple(row) for row in connection.execute(sql, values)]
        )

    @contextlib.asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keep the writer's connection busy, so that what is asked meanwhile waits together."""
        entered, leave = threading.Event(), threading.Event()

        def hold(_: sqlite3.Connection) -> None:
            entered.set()
            leave.wait()

        holding = asyncio.create_task(self.database.run(hold))
        await asyncio.to_thread(entered.wait)
        self.clock.read.clear()
        ahead = asyncio.create_task(self.writer.promote())
        # read once for each batch: one of this single item now waits for the connection
        await self.clock.read.wait()
        try:
            yield
        finally:
            leave.set()
            await asyncio.gather(holding, ahead)

    async def together(self, *asked: Any, free: int = 0) -> list[Any]:
        """Ask all of these of a busy writer, so that they are one batch; return the answers."""
        async with self.busy():
            self.seen.free["cpu"] = free
            tasks = [asyncio.ensure_future(one) for one in asked]
            await asyncio.wait(tasks, timeout=0)
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def statements(self, *asked: Any) -> list[str]:
        """Ask all of these in one batch; return the statements that ran."""
        traced: list[str] = []
        async with self.busy():
            tasks = [asyncio.ensure_future(one) for one in asked]
            await asyncio.wait(tasks, timeout=0)
            # queued behind the batch of one: takes hold before the batch under test
            tracing = asyncio.create_task(
                self.database.run(lambda connection: connection.set_trace_callback(traced.append))
            )
            await asyncio.wait([tracing], timeout=0)
        await asyncio.gather(*tasks, tracing, return_exceptions=True)
        await self.database.run(lambda connection: connection.set_trace_callback(None))
        batch = traced[1:-1]  # without the end of what began the trace, and the other way round
        return [
            sql
            for before, sql in zip(["", *batch], batch, strict=False)
            if sql != before  # SQLite announces a trigger's run under its statement's text
        ]


class OpenStore(Protocol):
    def __call__(self, path: Path, **options: Any) -> contextlib.AbstractAsyncContextManager[Store]:
        """Open the file as one run of the daemon would; closing it ends the run."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobd.db"


@pytest.fixture
def new_job(clock: FakeClock) -> NewJobs:
    ids = IdSource()

    def new(key: str | None = None, fingerprint: bytes = b"f", **fields: Any) -> NewJob:
        plain: dict[str, Any] = {
            "job_id": ids.next("job_", clock.ms),
            "principal": "uid:1000",
            "kind": "test.any",
            "queue": "default",
            "lane": "cpu",
            "priority": 5,
            "created_at_ms": clock.ms,
            "run_at_ms": None,
            "timeout_ms": 60_000,
            "max_attempts": 3,
            "retention_ms": 3_600_000,
            "args": b'{"n":1}',
        }
        if key is not None:
            plain["idempotency"] = IdempotencyKey(key, "POST /v1/jobs", fingerprint)
        return NewJob(**plain | fields)

    return new


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path)
    yield database
    await database.close()


@pytest.fixture
def open_writer(clock: FakeClock, seen: Seen) -> Callable[..., Writer]:
    """Make a writer that reports to `seen`; the caller starts and closes it."""

    def make(database: Database, *, rules: Rules = RULES, **options: Any) -> Writer:
        commits = GroupCommit(
            database,
            clock,
            rules,
            Around(
                publish=seen.publish,
                free_slots=seen.free_slots,
                ahead=lambda: seen.ahead,
                claimed=seen.claimed,
                died=seen.deaths.append,
                messages=seen.messages,
                runnable=lambda: seen.kinds,
            ),
            **options,
        )
        return Writer(commits)

    return make


@pytest.fixture
def open_store(
    open_writer: Callable[..., Writer], seen: Seen, clock: FakeClock, new_job: NewJobs
) -> OpenStore:
    @contextlib.asynccontextmanager
    async def open_(path: Path, **options: Any) -> AsyncIterator[Store]:
        database = await Database.open(path)
        writer = open_writer(database, **options)
        await writer.start()
        try:
            yield Store(database, writer, seen, clock, new_job)
        finally:
            await writer.close()
            await database.close()

    return open_


@pytest.fixture
async def store(path: Path, open_store: OpenStore) -> AsyncIterator[Store]:
    async with open_store(path) as store:
        yield store


@pytest.fixture
def schema(database: Database, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of the test's own to an empty, migrated and guarded database."""
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()
