"""The API on a real unix socket before the real store and commands, without a pool.

A job stays queued until the test gives a slot; then the test is the pool: it gets the
claim and settles it.
"""

import asyncio
import contextlib
import functools
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from jobd.api.app import Services, build
from jobd.api.server import SERVER_LIMITS
from jobd.bus import Bus
from jobd.config import Config, Limits
from jobd.domain.catalog import Catalog, HandlerSpec, Lane, LoadError
from jobd.domain.deliveries import parse_target
from jobd.domain.errors import Unavailable
from jobd.domain.events import Event
from jobd.domain.jobs import Claim, Settlement
from jobd.domain.principals import Scope
from jobd.domain.statuses import Status
from jobd.engine.commands import Commands
from jobd.engine.endings import Endings
from jobd.engine.endpoints import Webhooks
from jobd.engine.estimates import Estimates
from jobd.engine.kinds import Kinds
from jobd.files.layout import Layout
from jobd.files.logs import AttemptLog, Logs
from jobd.store.database import Database
from jobd.store.deliveries import Deliveries
from jobd.store.delivery_log import DeliveryLog
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.readers import Readers
from jobd.store.rules import rules_of
from jobd.store.tokens import Tokens
from jobd.store.writer import Writer
from jobd.webhooks.egress import policy
from jobd.wire.jobs import JobDetail
from jobd.wire.problems import Problem
from jobd.wire.status import Check, Slots
from tests.support.clock import START_MS, FakeClock
from tests.support.contract import Held, check_event, check_taken, unseen

if TYPE_CHECKING:
    from jobd.wire.workers import Worker

POLICY = policy(allow_http=False, allow_private=(), allow_unix=("/run/app.sock",))


CATALOG = Catalog(
    handlers={
        "test.any": HandlerSpec("test.any", "cpu", "jobd-test", "1.0", "test:any"),
        "test.strict": HandlerSpec(
            "test.strict",
            "io",
            "jobd-test",
            "1.0",
            "test:strict",
            queue="slow",
            timeout_s=10.0,
            max_attempts=7,
            description="Takes one number.",
            args_schema={
                "type": "object",
                "properties": {"n": {"type": "integer"}},
                "required": ["n"],
                "additionalProperties": False,
            },
        ),
    },
    errors={"test.broken": LoadError("test.broken", "jobd-bad", "bad:f", "No module named 'x'")},
)


class CountedBus(Bus):
    """A bus that tells when somebody begins to watch a job."""

    def __init__(self) -> None:
        super().__init__()
        self.watches: asyncio.Queue[int] = asyncio.Queue()

    def add(self, seq: int, receive: Callable[[Event], None]) -> None:
        super().add(seq, receive)
        self.watches.put_nowait(seq)


class Slotted:
    """The pool's place, held by the test: says what is free, keeps what is claimed."""

    def __init__(self) -> None:
        self.free: dict[Lane, int] = {"cpu": 0, "io": 0}
        self.claims: asyncio.Queue[Claim] = asyncio.Queue()
        self.cancelled: list[str] = []
        self.paused_queues: list[str] = []

    def free_slots(self) -> Mapping[Lane, int]:
        return self.free

    def claimed(self, claims: list[Claim]) -> None:
        for claim in claims:
            self.free[claim.lane] -= 1
            self.claims.put_nowait(claim)

    async def cancel(self, token: str) -> None:
        self.cancelled.append(token)

    def paused(self, queue: str) -> None:
        self.paused_queues.append(queue)


class Reply(msgspec.Struct):
    """A response that has been read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def job(self) -> JobDetail:
        return msgspec.json.decode(self.body, type=JobDetail)

    def problem(self, status: int, code: str) -> Problem:
        """The problem document, after checking what every one of them must have."""
        assert self.headers["Content-Type"] == "application/problem+json"
        problem = msgspec.json.decode(self.body, type=Problem)
        assert (self.status, problem.status, problem.code) == (status, status, code), problem
        assert problem.type == f"urn:jobd:problem:{code}"
        assert problem.title
        assert problem.detail
        assert problem.instance.startswith("urn:uuid:")
        assert problem.request_id == self.headers["X-Request-Id"]
        assert self.headers["Cache-Control"] == "no-store"
        return problem


class Frame(msgspec.Struct, frozen=True):
    """One server-sent event as it came."""

    id: int
    event: str
    data: Any
    retry: str | None = None


class EventReader:
    """Reads a stream of events as a client does, more strictly."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.content = response.content
        self.url = str(response.url)

    async def next(self) -> Frame | None:
        """Return the next event, None at the end."""
        fields: dict[str, Any] = {}
        while line := await self.content.readline():
            if line.startswith(b":"):
                continue
            if line == b"\n":
                assert fields, "an empty line that ends no event"
                check_event(self.url, fields)
                return msgspec.convert(fields, Frame)
            name, _, value = line.decode().removesuffix("\n").partition(": ")
            fields[name] = msgspec.json.decode(value) if name in {"id", "data"} else value
        assert fields.keys() <= {"retry"}
        return None

    async def rest(self) -> list[Frame]:
        """Return the events up to the end."""
        frames = []
        while frame := await self.next():
            frames.append(frame)
        return frames


class Api:
    """What a test holds: the client's side, and the rooms behind the API."""

    def __init__(
        self, folder: Path, database: Database, config: Config, times: Mapping[str, float]
    ) -> None:
        self.database = database
        self.me = f"uid:{os.getuid()}"
        self.clock = FakeClock()
        self.bus = CountedBus()
        self.pool = Slotted()
        self.kinds = Kinds()
        self.kinds.install(CATALOG)
        self.draining = asyncio.Event()
        self.checks = {"database": Check("ok")}
        self.deaths: list[BaseException] = []
        self.layout = Layout(folder / "state")
        self.layout.make()
        self.artifacts = self.layout.artifacts
        self.logs = Logs(self.layout.logs, head_bytes=4096)
        self.workers: list[Worker] = []
        self.socket = str(folder / "s")
        self.readers = Readers(database)
        self.tokens = Tokens(database, self.clock)
        self.writer = Writer(
            GroupCommit(
                database,
                self.clock,
                rules_of(config),
                Around(
                    publish=self.bus.publish,
                    free_slots=self.pool.free_slots,
                    claimed=self._claimed,
                    died=self.deaths.append,
                    runnable=lambda: self.kinds.lanes,
                    messages=lambda _: None,
                ),
            )
        )
        self.estimates = Estimates(
            self.clock,
            self.bus,
            slots={"cpu": 2, "io": 2},
            free=self.pool.free_slots,
            tally=lambda: self.writer.tally,
        )
        self.storage_full = False
        self.reloaded = Catalog()
        """What a reload finds."""
        self.unloadable = ""
        self.commands = Commands(
            config,
            self.clock,
            kinds=self.kinds,
            writer=self.writer,
            readers=self.readers,
            running=self.pool,
            layout=self.layout,
            check_callback=lambda url: parse_target(url, POLICY),
        )
        self.services = Services(
            config=config,
            clock=self.clock,
            commands=self.commands,
            readers=self.readers,
            bus=self.bus,
            endings=Endings(),
            catalog=lambda: self.kinds.catalog,
            reload_handlers=self._reload,
            layout=self.layout,
            logs=self.logs,
            workers=lambda: self.workers,
            tokens=self.tokens,
            webhooks=Webhooks(
                self.writer,
                DeliveryLog(database, self.clock),
                self.clock,
                policy=POLICY,
                rotate=Deliveries(database, self.clock).rotate,
                changed=lambda _: None,
            ),
            draining=self.draining,
            slots=lambda: {"cpu": Slots(2, self.pool.free["cpu"])},
            ready=self._ready,
            instance_id="instance",
            started_at_ms=START_MS,
            sqlite_version="3.99",
            estimate=self.estimates.of_job,
            estimate_new=self.estimates.of_new,
            estimated_wait_s=self.estimates.wait_s,
            tally=lambda: self.writer.tally,
            storage_full=lambda: self.storage_full,
            **times,
        )
        self.http: aiohttp.ClientSession
        self.routes: set[tuple[str, str]]

    def _claimed(self, claims: list[Claim]) -> None:
        self.estimates.claimed(claims)
        self.pool.claimed(claims)

    async def _reload(self) -> None:
        if self.unloadable:
            raise Unavailable("handlers_not_loaded", self.unloadable, retryable=True)
        self.kinds.install(self.reloaded)

    async def _ready(self) -> Mapping[str, Check]:
        return self.checks

    async def ask(self, method: str, path: str, **options: Any) -> Reply:
        async with self.http.request(method, f"http://jobd{path}", **options) as response:
            check_taken(method, path, response.status, options.get("json"))
            return Reply(response.status, response.headers, await response.read())

    async def bearer(self, *scopes: Scope, principal: str = "another") -> dict[str, str]:
        """Return the header of somebody who is not the one behind the socket."""
        _, text = await self.tokens.create(principal, scopes)
        return {"Authorization": f"Bearer {text}"}

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.ask("GET", path, headers=_dashed(headers))

    @contextlib.asynccontextmanager
    async def stream(self, path: str, **headers: str) -> AsyncIterator[EventReader]:
        """Read a stream of events while the block runs."""
        url = f"http://jobd{path}"
        async with self.http.get(url, headers=_dashed(headers)) as response:
            assert response.status == 200, await response.text()
            yield EventReader(response)

    async def traced(self) -> list[str]:
        """Return the list that every SQL statement from now on is put into."""
        statements: list[str] = []

        def trace(connection: sqlite3.Connection) -> None:
            connection.set_trace_callback(statements.append)

        # both readers at once, else it would be the same one twice
        await asyncio.gather(self.database.read(trace), self.database.read(trace))
        await self.database.run(trace)
        statements.clear()
        return statements

    async def raw(self, request: bytes) -> bytes:
        """Send bytes and return what comes back, up to the end of a JSON document."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(request)
        answer = await reader.readuntil(b"}")
        writer.close()
        await writer.wait_closed()
        return answer

    def attempt_log(self, claim: Claim) -> contextlib.closing[AttemptLog]:
        """Write as the attempt would while the block runs."""
        return contextlib.closing(self.logs.open(claim.job_id, claim.attempt))

    async def submit(self, document: dict[str, Any] | None = None, **headers: str) -> Reply:
        document = {"kind": "test.any"} if document is None else document
        return await self.ask("POST", "/v1/jobs", json=document, headers=_dashed(headers))

    async def claim(self, lane: Lane = "cpu") -> Claim:
        """Give a slot and take the claim that comes of it."""
        self.pool.free[lane] += 1
        self.writer.wake()
        return await self.pool.claims.get()

    async def next_watch(self) -> None:
        """Wait until a request waits for a job."""
        await self.bus.watches.get()

    async def end(self, claim: Claim, status: Status = Status.COMPLETED, **fields: Any) -> None:
        """Settle as the dispatcher would."""
        await self.writer.settle(Settlement(claim.seq, claim.token, status, **fields))

    async def ended(self, status: Status = Status.COMPLETED, **fields: Any) -> str:
        """Submit a job and end it; return its URL."""
        url: str = (await self.submit(Prefer="respond-async")).headers["Location"]
        await self.end(await self.claim(), status, **fields)
        return url


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@contextlib.asynccontextmanager
async def running(folder: Path, config: Config, **times: float) -> AsyncIterator[Api]:
    """Serve the database in `folder`, which may be that of an earlier one."""
    database = await Database.open(folder / "jobd.db")
    api = Api(folder, database, config, {"body_timeout_s": 30.0, **times})
    await api.writer.start()
    await api.writer.count()
    await api.tokens.load()
    app = build(api.services)
    api.routes = {
        (route.method, route.resource.canonical) for route in app.router.routes() if route.resource
    }
    runner = web.AppRunner(app, **SERVER_LIMITS)
    await runner.setup()
    await web.UnixSite(runner, api.socket).start()
    connector = aiohttp.UnixConnector(api.socket)
    async with aiohttp.ClientSession(
        connector=connector, auto_decompress=False, response_class=Held
    ) as api.http:
        yield api
    api.draining.set()
    await runner.cleanup()
    await api.tokens.close()
    await api.writer.close()
    await database.close()
    assert api.deaths == []


@pytest.hookimpl
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a whole run in which no test got some answer that the document promises."""
    files = {item.path for item in session.items}
    option = session.config.option
    some = option.keyword or option.markexpr or option.deselect
    if exitstatus or some or not files.issuperset(Path(__file__).parent.glob("test_*.py")):
        return
    if missing := unseen():
        print(f"\nin the document, and no test got it: {sorted(missing)}")  # noqa: T201
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """An API whose requests wait as long as a test may need."""
    limits = Limits(
        body_bytes=8192, args_bytes=1024, inline_result_bytes=64, sync_wait_ms=1000, max_wait_s=50
    )
    async with running(tmp_path, Config(limits=limits)) as api:
        yield api


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Api]]:
    """Serves one folder's database, again and again if need be."""
    return functools.partial(running, tmp_path)


@pytest.fixture
async def hasty_api(tmp_path: Path) -> AsyncIterator[Api]:
    """An API that waits no longer than it takes to look."""
    config = Config(limits=Limits(sync_wait_ms=1))
    async with running(tmp_path, config, body_timeout_s=0.01) as api:
        yield api
