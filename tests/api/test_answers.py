"""An answer that is sent in one piece says what aiohttp would have said."""

import asyncio
import re

from tests.api.conftest import Api

DIFFERS = re.compile(rb'(ETag: W/"|Location: /v1/jobs/job_|Date: )[^"\r]+')


def request(connection: bytes, version: bytes = b"1.1") -> bytes:
    lines = [
        b"POST /v1/jobs HTTP/" + version,
        b"Host: x",
        b"Content-Type: application/json",
        b"Content-Length: 19",
        b"Prefer: respond-async",
        b"X-Request-Id: the-one",
        b"Connection: " + connection,
    ]
    return b"\r\n".join(lines) + b'\r\n\r\n{"kind":"test.any"}'


def head(answer: bytes) -> list[bytes]:
    """The lines before the body, without what differs between two jobs."""
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [DIFFERS.sub(rb"\1", line) for line in lines]


async def test_an_answer_in_one_piece_is_the_one_of_aiohttp(api: Api) -> None:
    closed = await api.raw(request(b"close"))
    reader, writer = await asyncio.open_unix_connection(api.socket)
    writer.write(request(b"keep-alive"))
    kept = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(kept.partition(b"Content-Length: ")[2].split()[0]))
    writer.close()
    await writer.wait_closed()

    assert [*head(kept), b"Connection: close"] == head(closed)
    assert body.startswith(b'{"job_id":"job_')
    assert body.endswith(b"}")


async def test_who_speaks_an_older_http_is_answered_so(api: Api) -> None:
    answer = await api.raw(request(b"close", b"1.0"))

    assert answer.startswith(b"HTTP/1.0 202 Accepted\r\n")
    assert b"\r\nX-Request-Id: the-one\r\n" in answer
