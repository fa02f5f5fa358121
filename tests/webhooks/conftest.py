"""Deliveries on a real database, and a receiver on a real unix socket that misbehaves as told."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from jobd.domain.deliveries import Attempted, Due, Message
from jobd.domain.endpoints import ID_PREFIX, Endpoint, NewEndpoint
from jobd.domain.ids import IdSource
from jobd.domain.signing import new_secret
from jobd.store.database import Database
from jobd.store.deliveries import Deliveries
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.outbox import NewDelivery, insert_messages
from jobd.store.rules import Rules
from jobd.store.writer import Writer
from jobd.webhooks.aftermath import Aftermath
from jobd.webhooks.deliverer import Deliverer
from jobd.webhooks.egress import Policy
from jobd.webhooks.sender import Sender

SCHEDULE_S = (5.0, 60.0)
PRINCIPAL = "uid:1000"
RULES = Rules(max_age_ms=1, handler_missing_ms=1, queued_jobs=1, queued_jobs_per_principal=1)

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HandClock:
    """Time that stands still until the test moves it; it begins now, for receivers that look."""

    def __init__(self) -> None:
        self.ms = time.time_ns() // 1_000_000
        self.runs = False

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000 if self.runs else self.ms

    def trusted_ms(self) -> int:
        return self.wall_ms()

    def monotonic_s(self) -> float:
        return self.wall_ms() / 1000

    async def wait_until(self, wall_ms: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout((wall_ms - self.wall_ms()) / 1000):
                await asyncio.Event().wait()

    def advance(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


class Received(NamedTuple):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """Answers 204, or as the next entry of `behaviours` does."""

    def __init__(self, socket: Path) -> None:
        self.socket = str(socket)
        self.url = f"unix:{socket}:/hook"
        self.requests: list[Received] = []
        self.behaviours: deque[Behaviour] = deque()
        self.connections: set[object] = set()
        self.hung_up = asyncio.Event()
        self._news = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.connections.add(request.transport)
        self.requests.append(Received(request.path_qs, dict(request.headers), body))
        async with self._news:
            self._news.notify_all()
        if not self.behaviours:
            return web.Response(status=204)
        return await self.behaviours.popleft()(request)

    async def received(self, count: int) -> list[Received]:
        """Wait until that many requests have come."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    def answer(self, status: int, body: bytes = b"", /, **headers: str) -> None:
        """Answer the next request so."""

        async def behave(_: web.Request) -> web.StreamResponse:
            dashed = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=status, body=body, headers=dashed)

        self.behaviours.append(behave)

    def hang(self) -> None:
        """Let the next request wait until it gives up."""

        async def behave(_: web.Request) -> web.StreamResponse:
            try:
                await asyncio.Event().wait()
            finally:
                self.hung_up.set()
            raise AssertionError

        self.behaviours.append(behave)

    def cut_off(self, first: bytes = b"") -> None:
        """Send these bytes in place of an answer and drop the connection."""

        async def behave(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.write(first)
            request.transport.close()
            return web.Response()

        self.behaviours.append(behave)

    def pour(self, chunk: bytes, status: int = 200, **headers: str) -> None:
        """Answer with this again and again until the other side has had enough."""

        async def behave(request: web.Request) -> web.StreamResponse:
            dashed = {name.replace("_", "-"): value for name, value in headers.items()}
            response = web.StreamResponse(status=status, headers=dashed)
            await response.prepare(request)
            try:
                while True:
                    await response.write(chunk)
            finally:
                self.hung_up.set()

        self.behaviours.append(behave)

    def stall(self, first: bytes, status: int = 200) -> None:
        """Begin an answer and never end it."""

        async def behave(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(status=status)
            await response.prepare(request)
            await response.write(first)
            try:
                await asyncio.Event().wait()
            finally:
                self.hung_up.set()
            raise AssertionError

        self.behaviours.append(behave)


class Watched(Deliveries):
    """The store's deliveries; a test can wait for what is recorded."""

    def __init__(self, database: Database, clock: HandClock) -> None:
        super().__init__(database, clock)
        self.recorded: list[Attempted] = []
        self.looks = 0
        self._news = asyncio.Condition()

    async def due(self, receiver: str, limit: int, in_flight: Collection[str]) -> list[Due]:
        self.looks += 1
        return await super().due(receiver, limit, in_flight)

    async def record(self, ended: Sequence[Attempted]) -> None:
        await super().record(ended)
        self.recorded += ended
        async with self._news:
            self._news.notify_all()

    async def attempts(self, count: int) -> list[Attempted]:
        """Wait until that many attempts have been recorded."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.recorded) >= count)
        return self.recorded


class Outbox:
    """One database with its deliveries, and what is needed to deliver them."""

    def __init__(self, database: Database, clock: HandClock, policy: Policy) -> None:
        self.database = database
        self.clock = clock
        self.policy = policy
        self.deliveries = Watched(database, clock)
        self.deaths: list[BaseException] = []
        self.writer = self._writer()
        self.told: list[tuple[str, Any]] = []
        """What the operator was told."""
        self.rendered: list[str] = []
        self.bodies: Callable[[Message], bytes | None] = lambda one: f'{{"n":{one.seq}}}'.encode()
        self._ids = IdSource()
        self._deliverer: Deliverer | None = None

    def _writer(self) -> Writer:
        around = Around(
            free_slots=dict,
            runnable=lambda: None,
            claimed=lambda _: None,
            publish=lambda _: None,
            messages=self.told_of,
            died=self.deaths.append,
        )
        return Writer(GroupCommit(self.database, self.clock, RULES, around))

    def told_of(self, receivers: Collection[str]) -> None:
        if self._deliverer is not None:
            self._deliverer.wake(receivers)

    def _tell(self, type_: str, data: Mapping[str, Any]) -> None:
        self.told.append((type_, dict(data)))

    async def endpoint(self, url: str, **fields: Any) -> Endpoint:
        """Register an endpoint."""
        new = {"principal": PRINCIPAL, "secret": new_secret(), **fields}
        endpoint_id = self._ids.next(ID_PREFIX, self.clock.ms)
        return await self.writer.add_endpoint(NewEndpoint(endpoint_id=endpoint_id, url=url, **new))

    async def tell_endpoint(self, endpoint: Endpoint, count: int = 1) -> list[str]:
        """Store so many messages for an endpoint; return the delivery ids."""
        rows = [self._row(endpoint.url, n, endpoint_id=endpoint.endpoint_id) for n in range(count)]
        await self.database.run(lambda connection: insert_messages(connection, rows))
        self.told_of([endpoint.endpoint_id])
        return [row.delivery_id for row in rows]

    def _row(self, url: str, seq: int, **fields: Any) -> NewDelivery:
        return NewDelivery(
            message_id=fields.pop("message_id", None) or self._ids.next("msg_", self.clock.ms),
            delivery_id=self._ids.next("dlv_", self.clock.ms),
            seq=seq,
            event_id=seq * 10,
            type="job.completed",
            at_ms=self.clock.ms,
            url=url,
            **{"principal": PRINCIPAL, **fields},
        )

    async def tell(self, *urls: str, seq: int = 1, principal: str = PRINCIPAL) -> list[str]:
        """Store one message for these URLs, as the writer would; return the delivery ids."""
        message_id = self._ids.next("msg_", self.clock.ms)
        rows = [self._row(url, seq, message_id=message_id, principal=principal) for url in urls]
        await self.database.run(lambda connection: insert_messages(connection, rows))
        self.told_of({row.receiver for row in rows})
        return [row.delivery_id for row in rows]

    @contextlib.asynccontextmanager
    async def delivering(
        self,
        *,
        timeout_s: float = 20.0,
        grace_s: float = 20.0,
        schedule_s: Sequence[float] = SCHEDULE_S,
        resolver: AbstractResolver | None = None,
    ) -> AsyncIterator[Deliverer]:
        """Deliver as a start of the daemon would, up to its stop."""
        sender = Sender(self.policy, self.clock, timeout_s=timeout_s, resolver=resolver)
        deliverer = Deliverer(
            self.deliveries,
            sender,
            self.clock,
            render=self._render,
            policy=self.policy,
            schedule_s=schedule_s,
            random=lambda: 0.5,
            died=self.deaths.append,
        )
        deliverer.start(Aftermath(self.deliveries, self.writer, self.clock, tell=self._tell))
        self._deliverer = deliverer
        yield deliverer
        self._deliverer = None
        await deliverer.stop(grace_s)
        await sender.close()

    async def _render(self, messages: Sequence[Message]) -> list[bytes | None]:
        self.rendered += [message.message_id for message in messages]
        return [self.bodies(message) for message in messages]

    async def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the file."""
        return await self.database.read(
            lambda connection: [tuple(row) for row in connection.execute(sql, values)]
        )

    async def state(self, delivery_id: str) -> tuple[Any, ...]:
        """Return status, attempts, seconds to the next one, and why it is dead."""
        ((status, count, next_at, reason),) = await self.rows(
            "SELECT status, attempt_count, next_attempt_at, dead_reason FROM deliveries"
            " WHERE delivery_id = ?",
            delivery_id,
        )
        wait_s = None if next_at is None else (next_at - self.clock.ms) / 1000
        return status, count, wait_s, reason

    async def a_while(self) -> None:
        """Give every task many turns, and the database's threads too."""
        for _ in range(50):
            await self.rows("SELECT 1")

    async def attempted(self, url: str, **options: Any) -> Attempted:
        """Tell one URL, make one attempt, and return what was recorded of it."""
        await self.tell(url)
        async with self.delivering(**options):
            await self.deliveries.attempts(1)
        (only,) = self.deliveries.recorded
        return only


class Listener:
    """A TCP listener that counts who connects, and speaks neither HTTP nor TLS."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.read(65536)
        writer.write(b"220 mail.example ready\r\n")
        writer.close()


class OpenOutbox(Protocol):
    def __call__(self, **policy: Any) -> contextlib.AbstractAsyncContextManager[Outbox]:
        """Open the file as one start of the daemon would."""


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    receiver = Receiver(tmp_path / "r")
    app = web.Application()
    app.router.add_post("/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, receiver.socket).start()
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(listener.connected, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    yield listener
    server.close()
    await server.wait_closed()


@pytest.fixture
def open_outbox(tmp_path: Path, clock: HandClock) -> Iterator[OpenOutbox]:
    opened: list[Outbox] = []

    @contextlib.asynccontextmanager
    async def open_(**policy: Any) -> AsyncIterator[Outbox]:
        database = await Database.open(tmp_path / "jobd.db")
        outbox = Outbox(database, clock, Policy(**policy))
        opened.append(outbox)
        try:
            await outbox.writer.start()
            yield outbox
        finally:
            await outbox.writer.close()
            await database.close()

    yield open_
    assert [death for outbox in opened for death in outbox.deaths] == []


@pytest.fixture
async def outbox(open_outbox: OpenOutbox, receiver: Receiver) -> AsyncIterator[Outbox]:
    """An outbox that may send to the receiver, and to the hosts of the web that are global."""
    async with open_outbox(allow_http=True, allow_unix=(receiver.socket,)) as outbox:
        yield outbox
