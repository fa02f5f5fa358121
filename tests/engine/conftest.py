"""Store, commands and dispatcher as the daemon joins them, before a pool of the test's choice.

`engine` has a pool that the test holds: it gets each claim and says how the attempt ends.
`live` has real workers, which run the handlers of tests/support/faulty.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from jobd.bus import Bus, Watch
from jobd.clock import SystemClock
from jobd.config import Config
from jobd.domain.ahead import NOTHING, Ahead
from jobd.domain.backoff import BackoffPolicy
from jobd.domain.catalog import Catalog, HandlerSpec, Lane
from jobd.domain.errors import Invalid
from jobd.domain.events import Event
from jobd.domain.jobs import Claim, Job, Upload
from jobd.domain.outcomes import Outcome
from jobd.engine.commands import Commands, Submission
from jobd.engine.dispatcher import Dispatcher
from jobd.engine.endings import Endings
from jobd.engine.kinds import Kinds
from jobd.files.layout import Layout
from jobd.files.logs import Logs
from jobd.files.uploads import Received, receive
from jobd.pool.supervisor import Settings, Supervisor
from jobd.store.database import Database
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.readers import Readers
from jobd.store.rules import rules_of
from jobd.store.writer import Writer

ME = "uid:1000"

_LANES: dict[str, Lane] = {
    "test.echo": "cpu",
    "test.kill": "cpu",
    "test.progress": "cpu",
    "test.honour": "cpu",
    "test.checkpoint": "cpu",
    "test.asleep": "io",
}
CATALOG = Catalog(
    {kind: HandlerSpec(kind, lane, "jobd-test-plugin", "1", "m:f") for kind, lane in _LANES.items()}
)


class Attempt:
    """One run of a claim in a held pool."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def end(self, outcome: Outcome) -> None:
        self.outcome.set_result(outcome)


class HeldPool:
    """A pool whose slots and outcomes are the test's."""

    def __init__(self) -> None:
        self.slots: dict[Lane, int] = {"cpu": 0, "io": 0}
        self.room_ahead = NOTHING
        self.begun: asyncio.Queue[Attempt] = asyncio.Queue()
        self.cancelled: list[str] = []
        self.recalled: list[str] = []

    def free(self) -> dict[Lane, int]:
        return dict(self.slots)

    def ahead(self) -> Ahead:
        return self.room_ahead

    def begin(self, claim: Claim) -> asyncio.Future[Outcome]:
        self.slots[claim.lane] -= 1
        attempt = Attempt(claim)
        self.begun.put_nowait(attempt)
        return attempt.outcome

    def cancel(self, token: str) -> bool:
        self.cancelled.append(token)
        return True

    def recall(self, token: str) -> bool:
        self.recalled.append(token)
        return True


class Engine:
    """The rooms between the API and the pool."""

    def __init__(self, folder: Path, database: Database, first_wait_s: float) -> None:
        self.layout = Layout(folder)
        self.layout.make()
        self.database = database
        self.bus = Bus()
        self.readers = Readers(database)
        self.pool = HeldPool()
        self.kinds = Kinds(first_wait_s=first_wait_s)
        self.forbidden: str | None = None
        self.deaths: list[BaseException] = []
        self.told = 0
        self.when_claimed: Callable[[], None] = lambda: None
        self.clock = SystemClock()
        self.endings = Endings()
        self.dispatcher = Dispatcher(
            self.kinds,
            Logs(self.layout.logs, head_bytes=1_000_000),
            layout=self.layout,
            default_backoff=BackoffPolicy(base_s=60),
            random=lambda: 0.5,
            endings=self.endings,
        )
        self.writer = Writer(
            GroupCommit(
                database,
                self.clock,
                rules_of(Config()),
                Around(
                    publish=self.bus.publish,
                    free_slots=self.dispatcher.free_slots,
                    ahead=self.dispatcher.ahead,
                    claimed=self._claimed,
                    died=self.deaths.append,
                    messages=self._tell,
                    runnable=lambda: self.kinds.lanes,
                ),
            )
        )
        self.commands = Commands(
            Config(),
            self.clock,
            kinds=self.kinds,
            writer=self.writer,
            readers=self.readers,
            running=self.dispatcher,
            layout=self.layout,
            check_callback=self._check_callback,
        )

    def _claimed(self, claims: list[Claim]) -> None:
        self.dispatcher.claimed(claims)
        self.when_claimed()

    def _tell(self, _: Collection[str]) -> None:
        self.told += 1

    def _check_callback(self, url: str) -> None:
        if url == self.forbidden:
            raise Invalid("callback_url_forbidden", f"not {url}")

    def know_kinds(self) -> None:
        """Go on as when the first catalogue has come."""
        self.kinds.install(CATALOG)

    async def submit(self, kind: str = "test.echo", **fields: Any) -> Job:
        fields = {"principal": ME, "args": {}} | fields
        return (await self.commands.submit(Submission(kind=kind, **fields))).job

    async def begin(self, kind: str = "test.echo", **fields: Any) -> Attempt:
        """Submit a job and give it a slot of the held pool; return its attempt."""
        await self.submit(kind, **fields)
        self.pool.slots["cpu"] += 1
        self.dispatcher.slots_free()
        return await self.pool.begun.get()

    async def ended(self, outcome: Outcome, **fields: Any) -> Job:
        """Run a job to its end and return it."""
        attempt = await self.begin(**fields)
        attempt.end(outcome)
        await self.dispatcher.settled()
        return await self.job(attempt.claim.job_id)

    async def job(self, job_id: str) -> Job:
        job = await self.readers.get(job_id, detail=True)
        assert job is not None
        return job

    async def receive(self, content: bytes) -> Received:
        """Take a file as the API would."""

        async def arriving() -> AsyncIterator[bytes]:
            yield content

        return await receive(arriving(), self.layout, limit_bytes=1_000_000)

    async def upload(self, content: bytes = b"abc", principal: str = ME) -> Upload:
        return await self.commands.add_upload(principal, await self.receive(content))

    async def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the file."""
        return await self.database.read(
            lambda connection: [tuple(row) for row in connection.execute(sql, values)]
        )


class Live:
    """An engine with real workers; `run` sees a job through."""

    def __init__(self, engine: Engine, supervisor: Supervisor) -> None:
        self.engine = engine
        self.supervisor = supervisor

    async def run(self, kind: str, until: str, **fields: Any) -> tuple[Job, list[Event]]:
        """Submit a job; return it as it is after the first event of type `until`."""
        job = await self.engine.submit(kind, **fields)
        with self.engine.bus.watch(job.seq) as watch:
            # what came before the watch began is read; nothing came between the two
            seen = await self.engine.readers.events(job.seq)
            await self.next(watch, seen, until)
        return await self.engine.job(job.job_id), seen

    async def next(self, watch: Watch, seen: list[Event], until: str) -> None:
        while all(event.type != until for event in seen):
            event = await watch.next()
            if all(event.id > one.id for one in seen):
                seen.append(event)


@contextlib.asynccontextmanager
async def opened(folder: Path, *, first_wait_s: float = 60) -> AsyncIterator[Engine]:
    database = await Database.open(folder / "jobd.db")
    try:
        engine = Engine(folder, database, first_wait_s)
        await engine.writer.start()
        yield engine
        engine.dispatcher.pause()
        await engine.writer.close()
    finally:
        await database.close()
    assert engine.deaths == []


@pytest.fixture
async def starting(tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine that knows no kinds yet."""
    async with opened(tmp_path) as engine:
        yield engine


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine that knows no kinds yet and does not wait for them."""
    async with opened(tmp_path, first_wait_s=0.001) as engine:
        yield engine


@pytest.fixture
async def engine(starting: Engine) -> Engine:
    """An engine with a held pool."""
    starting.know_kinds()
    starting.dispatcher.start(starting.pool, starting.writer)
    return starting


@pytest.fixture
async def live(starting: Engine, tmp_path: Path) -> AsyncIterator[Live]:
    """An engine with one cpu and one io worker."""
    starting.know_kinds()
    lock = os.open(tmp_path / "workers.lock", os.O_RDWR | os.O_CREAT)
    supervisor = Supervisor(
        Settings(
            cpu_workers=1,
            io_workers=1,
            io_concurrency=2,
            kill_grace_s=0.5,
            allow_paths=(),
            inline_result_bytes=65536,
            result_bytes=200_000,
            artifact_bytes=1_000_000,
            log_level="info",
            mark=f"engine{os.getpid()}:1",
        ),
        scratch=starting.layout.scratch,
        artifacts=starting.layout.artifacts,
        uploads=starting.layout.uploads,
        listener=starting.dispatcher,
        workers_lock_fd=lock,
    )
    await supervisor.start()
    starting.dispatcher.start(supervisor, starting.writer)
    yield Live(starting, supervisor)
    starting.dispatcher.pause()
    await supervisor.drain(0)
    await starting.dispatcher.settled()
    await supervisor.close()
    os.close(lock)
