"""What streams cost: nothing while nothing happens, little when it does; and slow clients."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from jobd.config import Config, Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import pytest

    from tests.api.conftest import Api

    Serve = Callable[..., AbstractAsyncContextManager[Api]]

KEEP_ALIVE_CHUNK = b"d\r\n: keep-alive\n\r\n"

MANY = Config(limits=Limits(streams_per_principal=1000))


async def connect(
    api: Api, path: str, *, limit: int = 65536
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a stream on a connection of its own, and read until it has begun."""
    reader, writer = await asyncio.open_unix_connection(api.socket, limit=limit)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert await reader.readexactly(13) == b"HTTP/1.1 200 "
    return reader, writer


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def test_a_silent_stream_says_that_it_lives(serve: Serve) -> None:
    async with serve(Config(), keep_alive_s=0.02) as api:
        url = (await api.submit(Prefer="respond-async")).headers["Location"]
        reader, writer = await connect(api, f"{url}/events")
        await reader.readuntil(b"}\n\n\r\n")
        silence = await reader.readexactly(2 * len(KEEP_ALIVE_CHUNK))
        await api.claim()
        event = await reader.readuntil(b"}\n\n\r\n")
        await close(writer)

    # a comment and no empty line, which some clients take for an event
    assert silence == 2 * KEEP_ALIVE_CHUNK
    assert b"event: job.processing\n" in event


async def test_a_client_that_does_not_read_is_cut_off(serve: Serve) -> None:
    async with serve(MANY) as api:
        slow, writer = await connect(api, "/v1/events", limit=1)
        metadata = {f"{n:064}": "x" * 256 for n in range(16)}
        async with api.stream("/v1/events") as events:
            for _ in range(600):
                reply = await api.submit({"kind": "test.any", "metadata": metadata})
                frame = await events.next()
                assert frame is not None
                assert frame.data["data"]["job_id"] == reply.json["job_id"]
        received = b""
        with contextlib.suppress(ConnectionError):
            while chunk := await slow.read(1 << 20):
                received += chunk
        with contextlib.suppress(ConnectionError):
            await close(writer)

    assert 0 < received.count(b"event: job.queued") < 600
    assert not received.endswith(b"0\r\n\r\n")


async def test_a_client_that_went_away_is_no_error(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(Config()) as api:
        writers = [(await connect(api, "/v1/events"))[1] for _ in range(5)]
        for writer in writers:
            await close(writer)
        for _ in range(5):
            await api.submit()

    assert caplog.record_tuples == []


async def test_idle_streams_and_long_polls_ask_the_database_nothing(serve: Serve) -> None:
    async with serve(MANY, keep_alive_s=0.1) as api:
        url = (await api.submit(Prefer="respond-async")).headers["Location"]
        streams = [await connect(api, f"{url}/events") for _ in range(50)]
        streams += [await connect(api, "/v1/events") for _ in range(50)]
        polls = [asyncio.create_task(api.get(url, Prefer="wait=30")) for _ in range(100)]
        for _ in range(1 + len(polls)):  # the streams of one job watch it together
            await api.next_watch()
        statements = await api.traced()
        for _ in range(3):
            for reader, _writer in streams:
                await reader.readuntil(b": keep-alive\n")
        idle = list(statements)
        await api.claim()
        await asyncio.gather(*polls)
        for _reader, writer in streams:
            await close(writer)

    assert idle == []


async def test_an_event_is_read_once_for_all_who_listen(serve: Serve) -> None:
    async with serve(MANY) as api:
        url = (await api.submit(Prefer="respond-async")).headers["Location"]
        streams = [await connect(api, f"{url}/events") for _ in range(20)]
        await asyncio.gather(*(reader.readuntil(b"}\n\n") for reader, _ in streams))
        streams += [await connect(api, "/v1/events") for _ in range(20)]
        statements = await api.traced()
        claim = await api.claim()
        await asyncio.gather(*(reader.readuntil(b"}\n\n") for reader, _ in streams))
        await api.end(claim)
        await asyncio.gather(*(reader.readuntil(b"}\n\n") for reader, _ in streams))
        for _reader, writer in streams:
            await close(writer)

    reads = [sql for sql in statements if "AS updated_at_ms" in sql]
    assert len(reads) == 1  # for two events: the second is folded over what was read
