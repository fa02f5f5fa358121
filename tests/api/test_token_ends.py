"""What is open when a token is revoked or expires: it ends then, and tells nothing more."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from jobd.domain.principals import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobd.domain.tokens import Token
    from tests.api.conftest import Api, Reply

    End = Callable[[Api, Token], Awaitable[None]]

LIFE_S = 60


async def revoked(api: Api, token: Token) -> None:
    reply = await api.ask("DELETE", f"/v1/tokens/{token.token_id}")
    assert reply.status == 204


async def expired(api: Api, token: Token) -> None:
    while await api.clock.waits.get() != token.expires_at_ms:
        pass
    api.clock.advance(LIFE_S)


async def set_ahead(api: Api, token: Token) -> None:
    while await api.clock.waits.get() != token.expires_at_ms:
        pass
    api.clock.jump(LIFE_S)


ENDS = pytest.mark.parametrize("end", [revoked, expired, set_ahead])


async def a_token(api: Api) -> tuple[Token, dict[str, str]]:
    token, text = await api.tokens.create("alice", (Scope.SUBMIT,), expires_in_s=LIFE_S)
    return token, {"Authorization": f"Bearer {text}"}


async def a_job(api: Api, headers: dict[str, str], prefer: str = "respond-async") -> Reply:
    return await api.submit(None, Prefer=prefer, **headers)


@ENDS
@pytest.mark.parametrize("path", ["/v1/events", "{job}/events", "{job}/logs?follow=1"])
async def test_a_stream_ends(api: Api, end: End, path: str) -> None:
    token, headers = await a_token(api)
    job = (await a_job(api, headers)).headers["Location"]
    url = f"http://jobd{path.format(job=job)}"
    async with api.http.get(url, headers=headers) as response:
        await end(api, token)
        await response.content.read()

    again = await api.ask("GET", job, headers=headers)
    again.problem(401, "invalid_token")


@ENDS
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_wait_ends(api: Api, end: End, method: str) -> None:
    token, headers = await a_token(api)
    job = (await a_job(api, headers)).headers["Location"]

    async def waiting() -> Reply:
        if method == "POST":
            return await a_job(api, headers, "wait=50")
        return await api.ask("GET", job, headers={**headers, "Prefer": "wait=50; until=done"})

    asked = asyncio.create_task(waiting())
    await api.next_watch()
    await end(api, token)

    assert (await asked).json["status"] == "queued"


@ENDS
@pytest.mark.parametrize("told_later", [False, True])
async def test_a_websocket_is_closed_for_it(api: Api, end: End, told_later: bool) -> None:
    token, headers = await a_token(api)
    job_id = (await a_job(api, headers)).json["job_id"]
    async with api.http.ws_connect("http://jobd/v1/ws", headers=headers) as socket:
        await socket.send_json({"op": "subscribe", "job_id": job_id})
        assert (await socket.receive_json())["op"] == "subscribed"
        assert (await socket.receive_json())["type"] == "job.queued"
        await end(api, token)
        closing = await socket.receive()

    assert (socket.close_code, closing.extra) == (1008, "invalid_token")


async def test_other_tokens_of_the_principal_go_on(api: Api) -> None:
    first, headers = await a_token(api)
    _, others = await a_token(api)
    async with api.stream("/v1/events", **others) as stream:
        async with api.stream("/v1/events", **headers) as ending:
            await revoked(api, first)
            assert await ending.next() is None
        job_id = (await a_job(api, others)).json["job_id"]

        event = await stream.next()
    assert event is not None
    assert event.data["data"]["job_id"] == job_id


async def test_a_command_that_comes_too_late_is_not_obeyed(api: Api) -> None:
    token, headers = await a_token(api)
    job = await a_job(api, headers)
    async with api.http.ws_connect("http://jobd/v1/ws", headers=headers) as socket:
        await api.tokens.revoke(token.token_id)
        await socket.send_json({"op": "cancel", "job_id": job.json["job_id"]})
        await socket.receive()

    assert socket.close_code == 1008
    assert (await api.get(job.headers["Location"])).json["status"] == "queued"


async def test_a_client_that_does_not_read_is_cut_off(api: Api) -> None:
    token, headers = await a_token(api)
    metadata = {f"{n:064}": "x" * 256 for n in range(16)}
    slow, writer = await asyncio.open_unix_connection(api.socket, limit=1)
    bearer = headers["Authorization"]
    request = f"GET /v1/events HTTP/1.1\r\nHost: jobd\r\nAuthorization: {bearer}\r\n\r\n"
    writer.write(request.encode())
    received = await slow.readexactly(13)
    for _ in range(150):
        await api.submit({"kind": "test.any", "metadata": metadata}, **headers)
    await revoked(api, token)
    with contextlib.suppress(ConnectionError):
        while chunk := await slow.read(1 << 20):
            received += chunk
    writer.close()

    assert 0 < received.count(b"event: job.queued") < 150
    assert not received.endswith(b"0\r\n\r\n")
