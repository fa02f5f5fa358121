"""`/v1/ws`: events and commands on one connection, by two clients that others wrote."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
import websockets
from aiohttp import WSMsgType, web

from jobd.api.app import build
from jobd.api.server import SERVER_LIMITS
from jobd.config import Config, Limits, Server
from jobd.domain import job_tokens
from jobd.domain.principals import Scope
from jobd.wire.events import PastEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.api.conftest import Api

    Serve = Callable[..., AbstractAsyncContextManager[Api]]

URL = "http://jobd/v1/ws"


class Talk:
    """One connection, as a client has it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, op: str, **fields: Any) -> None:
        await self.socket.send_json({"op": op, **fields})

    async def next(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.socket.receive_json()
        if "op" not in message:  # an event: a document as in a history
            msgspec.convert(message, PastEvent)
        return message

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        await self.say(op, **fields)
        return await self.next()

    async def types(self, count: int) -> list[str]:
        return [(await self.next())["type"] for _ in range(count)]

    async def refused(self, code: str, op: str, **fields: Any) -> None:
        answer = await self.ask(op, **fields)
        assert (answer["op"], answer["of"], answer["code"]) == ("error", op, code), answer

    async def closed(self) -> int | None:
        """Return the code with which the other side closes."""
        while (await self.socket.receive()).type is WSMsgType.TEXT:
            pass
        return self.socket.close_code


@contextlib.asynccontextmanager
async def talking(api: Api, query: str = "", **options: Any) -> AsyncIterator[Talk]:
    async with api.http.ws_connect(URL + query, protocols=["jobd.v1"], **options) as socket:
        assert socket.protocol == "jobd.v1"
        yield Talk(socket)


async def submitted(api: Api) -> str:
    job_id: str = (await api.submit(Prefer="respond-async")).json["job_id"]
    return job_id


async def test_a_job_is_followed_to_its_end(api: Api) -> None:
    job_id = await submitted(api)
    async with talking(api) as talk:
        answer = await talk.ask("subscribe", job_id=job_id)
        assert answer == {"op": "subscribed", "job_id": job_id, "done": False}
        assert await talk.types(1) == ["job.queued"]
        await api.end(await api.claim())
        assert await talk.types(2) == ["job.processing", "job.completed"]
        # the same connection goes on
        assert (await talk.ask("subscribe", job_id=job_id))["done"]
        assert await talk.types(1) == ["job.completed"]


async def test_events_are_those_of_the_history(api: Api) -> None:
    job_id = await submitted(api)
    async with talking(api) as talk:
        await talk.ask("subscribe", job_id=job_id)
        await api.end(await api.claim())
        told = [await talk.next() for _ in range(3)]
    history = await api.get(f"/v1/jobs/{job_id}/events", Accept="application/json")

    assert told == history.json["events"]


async def test_what_was_missed_comes_first(api: Api) -> None:
    job_id = await submitted(api)
    async with talking(api) as talk:
        await talk.ask("subscribe", job_id=job_id)
        seen = (await talk.next())["id"]
    await api.end(await api.claim())
    async with talking(api) as talk:
        assert (await talk.ask("subscribe", job_id=job_id, after=seen))["done"]
        assert await talk.types(2) == ["job.processing", "job.completed"]
        await talk.ask("subscribe", after=int(seen))
        assert await talk.types(2) == ["job.processing", "job.completed"]
        later = await submitted(api)
        assert (await talk.next())["data"]["job_id"] == later


async def test_all_of_ones_own_and_nobody_elses(api: Api) -> None:
    _, text = await api.tokens.create("other", (Scope.SUBMIT,))
    other = {"Authorization": f"Bearer {text}"}
    async with talking(api) as mine, talking(api, headers=other) as others:
        await mine.ask("subscribe")
        await others.ask("subscribe")
        job_id = await submitted(api)
        theirs = (await api.submit({"kind": "test.any"}, **other)).json["job_id"]

        assert (await mine.next())["data"]["job_id"] == job_id
        assert (await others.next())["data"]["job_id"] == theirs
        await others.refused("job_not_found", "subscribe", job_id=job_id)
        await others.refused("job_not_found", "cancel", job_id=job_id)


async def test_after_unsubscribe_nothing_comes(api: Api) -> None:
    one, two = await submitted(api), await submitted(api)
    async with talking(api) as talk:
        for job_id in (one, two):
            await talk.ask("subscribe", job_id=job_id)
            await talk.next()
        answer = await talk.ask("unsubscribe", job_id=one)
        assert answer == {"op": "unsubscribed", "job_id": one, "done": False}
        await api.claim()
        await api.claim()
        event = await talk.next()

    assert (event["type"], event["data"]["job_id"]) == ("job.processing", two)


async def test_a_job_is_cancelled(api: Api) -> None:
    waiting, running = await submitted(api), await submitted(api)
    async with talking(api) as talk:
        answer = await talk.ask("cancel", job_id=waiting)
        assert answer == {"op": "cancelled", "job_id": waiting, "done": True}
        claim = await api.claim()
        assert not (await talk.ask("cancel", job_id=running))["done"]
        await api.end(claim)
        await talk.refused("job_already_finished", "cancel", job_id=running)


async def test_to_cancel_takes_more_than_to_read(api: Api) -> None:
    job_id = await submitted(api)
    _, text = await api.tokens.create("reader", (Scope.READ,))
    async with talking(api, headers={"Authorization": f"Bearer {text}"}) as talk:
        await talk.ask("subscribe", job_id=job_id)
        await talk.next()
        await talk.refused("forbidden", "cancel", job_id=job_id)


async def test_the_token_of_a_job_opens_that_job(api: Api) -> None:
    mine, other = await submitted(api), await submitted(api)
    token = job_tokens.issue(mine, api.tokens.server_key)
    async with talking(api, f"?access_token={token}") as talk:
        assert (await talk.ask("subscribe", job_id=mine))["op"] == "subscribed"
        await talk.next()
        await talk.refused("job_not_found", "subscribe", job_id=other)
        await talk.refused("job_not_found", "cancel", job_id=other)
        await talk.refused("forbidden", "subscribe")
        await talk.say("cancel", job_id=mine)
        told = [await talk.next() for _ in range(2)]

    assert {one.get("op") or one["type"] for one in told} == {"cancelled", "job.cancelled"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "malformed_json"),
        ("[]", "validation_error"),
        ('{"op":"fly"}', "validation_error"),
        ('{"op":"cancel"}', "validation_error"),
        ('{"op":"subscribe","after":"x"}', "validation_error"),
        ('{"op":"subscribe","after":-1}', "validation_error"),
        ('{"op":"subscribe","job":"x"}', "validation_error"),
        ('{"op":"subscribe","job_id":"x"}', "job_not_found"),
        ('{"op":"auth","token":"x"}', "validation_error"),
    ],
)
async def test_what_makes_no_sense_is_told_and_the_connection_stays(
    api: Api, text: str, code: str
) -> None:
    async with talking(api) as talk:
        await talk.socket.send_str(text)
        assert (await talk.next())["code"] == code
        assert (await talk.ask("unsubscribe"))["op"] == "unsubscribed"


async def test_a_message_that_is_too_long_or_no_text(api: Api) -> None:
    async with talking(api) as talk:
        await talk.socket.send_str("{" + " " * 65536)
        assert await talk.closed() == 1009
    async with talking(api) as talk:
        await talk.socket.send_bytes(b"{}")
        assert await talk.closed() == 1003


async def test_subscriptions_are_bounded(api: Api) -> None:
    jobs = [await submitted(api) for _ in range(101)]
    async with talking(api) as talk:
        for job_id in jobs[:100]:
            await talk.ask("subscribe", job_id=job_id)
            await talk.next()
        await talk.refused("too_many_streams", "subscribe", job_id=jobs[100])
        await talk.ask("subscribe", job_id=jobs[0])
        await talk.next()
        await talk.ask("unsubscribe", job_id=jobs[0])
        assert (await talk.ask("subscribe", job_id=jobs[100]))["op"] == "subscribed"


async def test_it_is_one_stream(serve: Serve) -> None:
    async with serve(Config(limits=Limits(streams_per_principal=1))) as api:
        async with talking(api):
            (await api.get("/v1/events")).problem(429, "too_many_streams")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await api.http.ws_connect(URL)
        async with talking(api) as talk:
            assert (await talk.ask("unsubscribe"))["op"] == "unsubscribed"

    assert refused.value.status == 429


async def test_commands_are_requests(serve: Serve) -> None:
    config = Config(limits=Limits(socket_requests_per_minute=3))
    async with serve(config) as api, talking(api) as talk:
        answers = [await talk.ask("unsubscribe") for _ in range(3)]

    assert [answer["op"] for answer in answers] == ["unsubscribed", "unsubscribed", "error"]
    assert answers[2]["code"] == "rate_limited"


async def test_a_drain_says_so(api: Api) -> None:
    async with talking(api) as talk:
        await talk.ask("subscribe")
        api.draining.set()
        assert await talk.closed() == 1001


async def test_a_client_that_does_not_read_is_cut_off(api: Api) -> None:
    metadata = {f"{n:064}": "x" * 256 for n in range(16)}
    reader, writer = await asyncio.open_unix_connection(api.socket, limit=1)
    writer.write(HANDSHAKE.encode() + frame(b'{"op":"subscribe"}'))
    assert (await reader.readexactly(12)) == b"HTTP/1.1 101"
    async with talking(api) as quick:
        await quick.ask("subscribe")
        for _ in range(600):
            await api.submit({"kind": "test.any", "metadata": metadata})
            await quick.next()
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(1 << 20):
            received += chunk
    writer.close()

    assert 0 < received.count(b"job.queued") < 600


async def test_who_does_not_read_the_answers_is_not_read_either(api: Api) -> None:
    name = b"x" * 60_000
    answer = b'{"op":"unsubscribed","job_id":"%b","done":false}' % name
    reader, writer = await asyncio.open_unix_connection(api.socket)
    writer.write(HANDSHAKE.encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.set_write_buffer_limits(high=0)
    writer.writelines([frame(b'{"op":"unsubscribe","job_id":"%b"}' % name)] * 300)
    sent = asyncio.create_task(writer.drain())
    async with talking(api) as other:
        for _ in range(300):
            await other.ask("unsubscribe")
    stuck = not sent.done()
    answers = await reader.readexactly(300 * (4 + len(answer)))
    await sent
    writer.close()
    await writer.wait_closed()

    assert stuck
    assert answers.count(answer) == 300


async def test_a_client_that_does_not_answer_a_ping_is_gone(serve: Serve) -> None:
    async with serve(Config(limits=Limits(streams_per_principal=1)), heartbeat_s=0.02) as api:
        reader, writer = await asyncio.open_unix_connection(api.socket)
        writer.write(HANDSHAKE.encode())
        answer = await reader.read()
        async with talking(api) as talk:
            assert (await talk.ask("unsubscribe"))["op"] == "unsubscribed"
        writer.close()

    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"\x89\x00" in answer


@contextlib.asynccontextmanager
async def over_tcp(
    serve: Serve, limits: Limits | None = None, **times: float
) -> AsyncIterator[tuple[Api, str]]:
    """Serve the same on a port, where nobody is known without a token; give its URL too."""
    config = Config(limits=limits or Limits(), server=Server(listen="127.0.0.1:0"))
    async with serve(config, **times) as api:
        runner = web.AppRunner(build(api.services), **SERVER_LIMITS)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield api, f"http://127.0.0.1:{runner.addresses[0][1]}/v1/ws"
        api.draining.set()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def talking_at(url: str, **options: Any) -> AsyncIterator[Talk]:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(url, protocols=["jobd.v1"], **options) as socket,
    ):
        yield Talk(socket)


async def test_who_is_not_known_says_it_first(serve: Serve) -> None:
    async with over_tcp(serve) as (api, url):
        job_id = await submitted(api)
        _, text = await api.tokens.create(api.me, (Scope.SUBMIT,))
        of_job = job_tokens.issue(job_id, api.tokens.server_key)
        async with talking_at(url) as talk:
            answer = await talk.ask("auth", token=text)
            assert answer == {"op": "authenticated", "job_id": None, "done": False}
            assert (await talk.ask("subscribe", job_id=job_id))["op"] == "subscribed"
        async with talking_at(url) as talk:
            assert (await talk.ask("auth", token=of_job))["job_id"] == job_id
            await talk.refused("forbidden", "subscribe")
        async with talking_at(url, headers={"Authorization": f"Bearer {text}"}) as talk:
            assert (await talk.ask("subscribe", job_id=job_id))["op"] == "subscribed"


@pytest.mark.parametrize(
    "first",
    ['{"op":"auth","token":"x"}', '{"op":"auth"}', '{"op":"subscribe"}', "{", "", None],
)
async def test_who_does_not_is_shown_out(serve: Serve, first: str | None) -> None:
    hasty = over_tcp(serve, introduction_timeout_s=0.05)
    async with hasty as (_, url), talking_at(url) as talk:
        if first is not None:
            await talk.socket.send_str(first)
        assert await talk.closed() == 1008


async def test_a_token_that_opens_nothing_here(serve: Serve) -> None:
    async with over_tcp(serve) as (api, url):
        _, text = await api.tokens.create("a", (Scope.WORKER,))
        async with talking_at(url) as talk:
            await talk.say("auth", token=text)
            assert await talk.closed() == 1008


async def test_one_stream_too_many_is_told_when_it_is_known_whose(serve: Serve) -> None:
    async with over_tcp(serve, Limits(streams_per_principal=1)) as (api, url):
        _, text = await api.tokens.create("a", (Scope.SUBMIT,))
        async with talking_at(url) as first, talking_at(url) as second:
            await first.ask("auth", token=text)
            await second.say("auth", token=text)
            assert await second.closed() == 1013


async def test_who_is_not_known_gets_in_by_a_handshake_alone(serve: Serve) -> None:
    async with over_tcp(serve) as (_, url), aiohttp.ClientSession() as http:
        async with http.get(url) as plain:
            assert plain.status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(url, headers={"Authorization": "Bearer x"})

    assert refused.value.status == 401


async def test_a_page_of_another_site_does_not_get_in(serve: Serve) -> None:
    async with over_tcp(serve) as (_, url), aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(url, origin="https://evil.example")

    assert refused.value.status == 403


HANDSHAKE = (
    "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(text: bytes) -> bytes:
    """A message as a client sends it, with a mask that changes nothing."""
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe%b" % len(text).to_bytes(2)
    return b"\x81%b%b%b" % (size, bytes(4), text)


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("Upgrade: websocket\r\n", "", b"426"),
        ("Upgrade: websocket", "Upgrade: h2c", b"426"),
        ("Version: 13", "Version: 12", b"426"),
        ("Key: dGhlIHNhbXBsZSBub25jZQ==", "Key: x", b"426"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", b"400"),
        ("/v1/ws", "/v1/ws?x=1", b"400"),
        ("\r\n\r\n", "\r\nAuthorization: Bearer x\r\n\r\n", b"401"),
    ],
)
async def test_what_is_no_handshake_for_this(api: Api, old: str, new: str, status: bytes) -> None:
    answer = await api.raw(HANDSHAKE.replace(old, new, 1).encode())

    assert answer.startswith(b"HTTP/1.1 " + status), answer
    if status == b"426":
        assert b"\r\nUpgrade: websocket\r\n" in answer
        assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer


async def test_a_client_that_others_wrote(api: Api) -> None:
    job_id = await submitted(api)
    protocol = websockets.Subprotocol("jobd.v1")
    async with websockets.unix_connect(
        api.socket, URL.replace("http", "ws"), subprotocols=[protocol]
    ) as ws:
        await ws.send(msgspec.json.encode({"op": "subscribe", "job_id": job_id}).decode())
        told = [msgspec.json.decode(await ws.recv()) for _ in range(2)]
        await ws.ping()
        api.draining.set()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await ws.recv()

    assert ws.subprotocol == "jobd.v1"
    assert [one.get("op") or one["type"] for one in told] == ["subscribed", "job.queued"]
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
