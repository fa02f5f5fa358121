"""What one caller may take of the daemon, with the settings as they are shipped."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from jobd.api.problems import PROBLEMS, of_error
from jobd.config import Config, Files, Limits
from jobd.domain.errors import JobdError
from jobd.domain.principals import Scope
from jobd.engine import batches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.api.conftest import Api, Reply

    Serve = Callable[..., AbstractAsyncContextManager[Api]]

NDJSON = {"Content-Type": "application/x-ndjson"}
LINE = b'{"kind":"test.any"}\n'


@pytest.fixture
async def shipped(serve: Serve) -> AsyncIterator[Api]:
    async with serve(Config()) as api:
        yield api


@contextlib.asynccontextmanager
async def slow_requests(
    api: Api, path: str, count: int, headers: str = ""
) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Have so many requests under way whose bodies do not end."""
    writers = []
    for _ in range(count):
        reader, writer = await asyncio.open_unix_connection(api.socket)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{headers}"
        writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writers.append(writer)
    yield writers
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def token_of(api: Api, principal: str = "app") -> dict[str, str]:
    _, text = await api.tokens.create(principal, (Scope.SUBMIT,))
    return {"Authorization": f"Bearer {text}"}


def check_later(reply: Reply, status: int, code: str) -> None:
    """It says that it may succeed later, and when."""
    assert reply.problem(status, code).retryable is True
    assert int(reply.headers["Retry-After"]) >= 1


def test_the_limits_of_the_readme_are_those_that_are_shipped() -> None:
    readme = Path(__file__).parents[2].joinpath("README.md").read_text()
    (text,) = re.findall(r"- \*\*Limits\*\*, (.*)\n", readme)
    said = dict(re.findall(r"`(?:\[files\] )?(\w+)` ([0-9,]+)", text))
    config = Config()

    shipped = {**msgspec.to_builtins(config.limits), "min_free_bytes": config.files.min_free_bytes}
    assert {name: int(value.replace(",", "")) for name, value in said.items()} == {
        name: shipped[name] for name in said
    }
    assert {name for name in shipped if name.endswith(("_principal", "_minute"))} <= said.keys()
    assert len(said) == 13


async def test_a_body(shipped: Api) -> None:
    headers = {"Content-Type": "application/json"}
    replies = [
        await shipped.ask("POST", "/v1/jobs", data=BytesIO(LINE.ljust(size)), headers=headers)
        for size in (1_048_576, 1_048_577)
    ]

    assert replies[0].status == 202
    replies[1].problem(413, "body_too_large")


async def test_args(shipped: Api) -> None:
    fits = {"x": "y" * (262_144 - len('{"x":""}'))}

    assert (await shipped.submit({"kind": "test.any", "args": fits})).status == 202
    reply = await shipped.submit({"kind": "test.any", "args": {"x": fits["x"] + "y"}})
    reply.problem(413, "args_too_large")


async def test_streams(shipped: Api) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(shipped.stream("/v1/events"))
        check_later(await shipped.get("/v1/events"), 429, "too_many_streams")
        headers = await token_of(shipped)
        async with shipped.http.get("http://jobd/v1/events", headers=headers) as others:
            assert others.status == 200


async def test_uploads_under_way(shipped: Api) -> None:
    async with slow_requests(shipped, "/v1/uploads", 10) as writers:
        check_later(await shipped.ask("POST", "/v1/uploads", data=b"x"), 429, "too_many_uploads")
        other = await shipped.ask("POST", "/v1/uploads", data=b"x", headers=await token_of(shipped))
        assert other.status == 201
        writers[0].write(b"0\r\n\r\n")
        while (reply := await shipped.ask("POST", "/v1/uploads", data=b"x")).status == 429:
            pass
        assert reply.status == 201


async def test_batches_under_way(shipped: Api) -> None:
    lines = "Content-Type: application/x-ndjson\r\n"
    async with slow_requests(shipped, "/v1/batches", 10, lines):
        reply = await shipped.ask("POST", "/v1/batches", data=LINE, headers=NDJSON)

    check_later(reply, 429, "too_many_batches")


async def test_what_is_held_of_batches(shipped: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "HELD_BYTES", 8 * len(LINE))
    send = functools.partial(shipped.ask, "POST", "/v1/batches")

    assert (await send(data=LINE * 4, headers=NDJSON)).status == 202
    check_later(await send(data=LINE * 5, headers=NDJSON), 429, "too_many_batches")
    assert (await send(data=LINE * 4, headers=NDJSON)).status == 202


async def test_jobs_that_wait(shipped: Api) -> None:
    async def send(count: int) -> Reply:
        return await shipped.ask("POST", "/v1/batches", data=LINE * count, headers=NDJSON)

    (await send(10_001)).problem(413, "body_too_large")
    for _ in range(10):
        assert (await send(10_000)).json["accepted"] == 10_000

    check_later(await shipped.submit(), 429, "quota_exceeded")
    assert (await shipped.submit({"kind": "test.any"}, **await token_of(shipped))).status == 202


async def answered(api: Api, request: bytes, times: int) -> list[bytes]:
    """Send a request again and again on one connection; return the statuses."""
    reader, writer = await asyncio.open_unix_connection(api.socket)
    found: list[bytes] = []
    received = b""
    for begin in range(0, times, 20):
        writer.write(request * min(20, times - begin))
        while len(found) < min(begin + 20, times):
            received += await reader.read(1 << 16)
            found += re.findall(rb"HTTP/1\.1 (\d+) ", received)
            received = received[-8:] if received[-8:].startswith(b"HTTP") else b""
    writer.close()
    await writer.wait_closed()
    return found


async def test_requests_with_a_token(shipped: Api) -> None:
    headers = await token_of(shipped)
    line = f"Authorization: {headers['Authorization']}\r\n"
    request = f"GET /v1/queues HTTP/1.1\r\nHost: x\r\n{line}\r\n".encode()

    statuses = await answered(shipped, request, 6000)
    refused = await shipped.get("/v1/queues", **headers)
    other = await shipped.get("/v1/queues", **await token_of(shipped, "other"))
    same = await shipped.get("/v1/queues", **await token_of(shipped))
    peer = await shipped.get("/v1/queues")
    alive = await shipped.get("/livez", **headers)
    shipped.clock.advance(0.01)
    again = await shipped.get("/v1/queues", **headers)

    assert statuses == [b"200"] * 6000
    check_later(refused, 429, "rate_limited")
    check_later(same, 429, "rate_limited")
    assert [reply.status for reply in (other, peer, alive, again)] == [200] * 4


async def test_peers_of_the_socket_if_that_is_set(serve: Serve) -> None:
    async with serve(Config(limits=Limits(socket_requests_per_minute=2))) as api:
        statuses = [(await api.get("/v1/queues")).status for _ in range(3)]
        await api.ask("POST", "/v1/uploads", data=b"x")

    assert statuses == [200, 200, 429]


async def test_the_last_of_the_disk(serve: Serve) -> None:
    head = "POST /v1/uploads HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n"
    async with serve(Config(files=Files(min_free_bytes=1 << 60))) as api:
        answer = await api.raw(f"{head}\r\n".encode())
        check_later(await api.ask("POST", "/v1/uploads", data=b"x"), 507, "storage_full")

    assert answer.startswith(b"HTTP/1.1 507 ")


@pytest.mark.parametrize(
    "code", [code for code, kind in PROBLEMS.items() if kind.status in {429, 503, 507}]
)
def test_who_were_refused_together_do_not_come_back_together(code: str) -> None:
    def waits(retry_after_s: int | None) -> set[int]:
        error = JobdError(code, "no", retry_after_s=retry_after_s)
        answers = [of_error(error, "r").headers["Retry-After"] for _ in range(200)]
        return {int(answer) for answer in answers}

    assert len(waits(None)) == 3
    assert waits(1) == {1, 2, 3}
    assert min(waits(60)) >= 60
    assert len(waits(60)) > 10
    assert max(waits(60)) <= 75


async def test_who_waits_often_enough_leaves_connections_to_others(serve: Serve) -> None:
    async with serve(Config(limits=Limits(connections=2))) as api:
        url = (await api.submit()).headers["Location"]
        waiting = asyncio.create_task(api.get(url, Prefer="wait=50"))
        await api.next_watch()

        at_once = await api.get(url, Prefer="wait=50")

        assert at_once.job.status == "queued"
        assert not waiting.done()
        await api.claim()
        assert (await waiting).job.status == "processing"
