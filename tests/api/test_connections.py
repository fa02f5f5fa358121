"""Connections of a listener: at the limit, those that wait for their own client make room."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from jobd.api.auth import CALLER
from jobd.api.connections import USUAL, Crowd, Patience
from jobd.api.server import bound, served
from jobd.domain.principals import Caller
from jobd.wire.problems import Problem
from tests.support.clock import FakeClock

ASKED = b"GET / HTTP/1.1\r\nHost: jobd\r\n\r\n"
HELD = b"GET /held HTTP/1.1\r\nHost: jobd\r\n\r\n"
SENT = b"POST /sent HTTP/1.1\r\nHost: jobd\r\nContent-Length: 100000\r\n\r\n"
LARGE = b"GET /large HTTP/1.1\r\nHost: jobd\r\n\r\n"
UNKNOWN = b"GET /unknown HTTP/1.1\r\nHost: jobd\r\n\r\n"
PADDED = b"GET / HTTP/1.1\r\nHost: jobd\r\nPadding: %b\r\n\r\n" % bytes(200).replace(b"\0", b"-")
ANYBODY = Caller("app", frozenset())
LARGE_BYTES = 8_000_000
HASTY = Patience(stuck_s=0.0, slow_s=0.0, slow_bytes_per_s=1e9)


class Peer:
    """A client that does what the test says, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, request: bytes = ASKED) -> bytes:
        """Send, and return the header and the body of the answer."""
        self.writer.write(request)
        return await self.answer()

    async def answer(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        (length,) = (int(line[15:]) for line in head.split(b"\r\n") if b"Content-Length" in line)
        return head + await self.reader.readexactly(length)

    async def is_cut_off(self) -> bool:
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass
        return True


class House:
    """A small application on a socket; what asks for /held is answered when the test says `go`."""

    def __init__(self, path: str, peers: contextlib.ExitStack) -> None:
        self.path, self._peers = path, peers
        self._all: list[Peer] = []
        self.crowd: Crowd
        self.arrived = asyncio.Semaphore(0)
        self.go = asyncio.Event()

    async def peer(self) -> Peer:
        reader, writer = await asyncio.open_unix_connection(self.path)
        self._peers.callback(writer.transport.abort)
        self._all.append(Peer(reader, writer))
        return self._all[-1]

    async def busy(self, request: bytes) -> Peer:
        """Return a peer whose request is under way."""
        peer = await self.peer()
        peer.writer.write(request)
        await self.arrived.acquire()
        return peer

    async def handle(self, request: web.Request) -> web.Response:
        if request.path == "/unknown":
            self.arrived.release()
            await self.go.wait()
        request[CALLER] = ANYBODY
        self.arrived.release()
        if request.path == "/large":
            return web.Response(body=bytes(LARGE_BYTES))
        if request.path == "/held":
            await self.go.wait()
        return web.Response(body=await request.read())


Open = Callable[..., contextlib.AbstractAsyncContextManager[House]]


@contextlib.asynccontextmanager
async def opened(
    folder: Path, connections: int, patience: Patience = USUAL
) -> AsyncIterator[House]:
    path, app, clock = str(folder / "s"), web.Application(), FakeClock()
    with bound(path, 0o600) as listener, contextlib.ExitStack() as peers:
        house = House(path, peers)
        app.router.add_route("*", "/{any:.*}", house.handle)
        async with served(
            app, [listener], clock, connections=connections, patience=patience
        ) as crowds:
            (house.crowd,) = crowds
            try:
                yield house
            finally:
                house.go.set()
                peers.close()


@pytest.fixture
def house(tmp_path: Path) -> Open:
    """Open one with so many connections at most."""
    return partial(opened, tmp_path)


async def test_who_has_been_idle_the_longest_makes_room(house: Open) -> None:
    async with house(2) as there:
        first, second = await there.peer(), await there.peer()
        await first.ask()
        await second.ask()
        await first.ask()

        third = await there.peer()

        assert b"200 OK" in await third.ask()
        assert await second.is_cut_off()
        assert b"200 OK" in await first.ask()
        assert len(there.crowd) == 2


async def test_when_all_are_busy_one_more_is_told_when_to_come_back(house: Open) -> None:
    async with house(2) as there:
        busy = [await there.busy(HELD) for _ in range(2)]

        third = await there.peer()
        head, _, body = (await third.ask()).partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert re.search(rb"\r\nRetry-After: [123]\r\n", head)
        assert msgspec.json.decode(body, type=Problem).code == "too_many_connections"
        assert await third.is_cut_off()
        there.go.set()
        assert [b"200 OK" in await one.answer() for one in busy] == [True, True]


async def test_of_a_crowd_that_is_refused_nobody_stays(house: Open) -> None:
    async with house(1) as there:
        busy = await there.busy(HELD)

        crowd = [await there.peer() for _ in range(200)]

        assert all(await asyncio.gather(*(one.is_cut_off() for one in crowd)))
        for one in crowd:
            one.writer.close()
        last = await there.peer()
        assert await last.is_cut_off()
        assert len(there.crowd) == 1
        assert there.crowd.leaving <= 1  # the last may still be leaving
        there.go.set()
        assert b"200 OK" in await busy.answer()


async def test_a_request_under_way_is_not_cut_off_for_another(house: Open) -> None:
    async with house(1, HASTY) as there:
        busy = await there.busy(HELD)

        assert b" 503 " in await (await there.peer()).ask()

        there.go.set()
        assert b"200 OK" in await busy.answer()


@pytest.mark.parametrize(
    "request_", [SENT, LARGE, UNKNOWN], ids=["sends-slowly", "reads-nothing", "says-no-name"]
)
async def test_who_keeps_the_daemon_waiting_makes_room(house: Open, request_: bytes) -> None:
    async with house(1, HASTY) as there:
        slow = await there.busy(request_)
        if request_ is LARGE:
            await slow.reader.read(1)  # so that the daemon has begun to write

        assert b"200 OK" in await (await there.peer()).ask()
        assert await slow.is_cut_off()


async def test_a_fast_body_stays(house: Open) -> None:
    async with house(1, Patience(slow_s=0.0)) as there:
        fast = await there.busy(SENT + bytes(99_999))

        assert b" 503 " in await (await there.peer()).ask()
        assert b"200 OK" in await fast.ask(b"0")


async def test_a_header_has_its_time_after_an_earlier_request_too(house: Open) -> None:
    async with house(2, Patience(header_s=0.2)) as there:
        dripping = await there.peer()
        await dripping.ask()

        async def drip() -> None:
            for byte in ASKED * 1000:
                dripping.writer.write(bytes([byte]))
                await asyncio.wait_for(there.arrived.acquire(), 0.05)

        with contextlib.suppress(TimeoutError):
            await drip()
        assert await dripping.is_cut_off()


async def test_ten_thousand_requests_in_a_row_wait_at_the_client(house: Open) -> None:
    async with house(1) as there:
        first = await there.busy(HELD)
        first.writer.write(PADDED * 10_000)

        assert b" 503 " in await (await there.peer()).ask()
        waiting = first.writer.transport.get_write_buffer_size()
        there.go.set()
        answers = [await first.answer() for _ in range(10_001)]

        assert waiting > 0  # the daemon reads no further than what it has begun with
        assert all(b"200 OK" in answer for answer in answers)


def test_what_is_used_of_aiohttps_own_is_there() -> None:
    own = {"_waiter", "_current_request", "_next_keepalive_close_time", "_force_close"}

    assert own <= set(web.RequestHandler.__slots__)
