"""A raw HTTP/1.1 load generator on a unix socket: N connections, one request in flight each.

It parses only what it must (the status and Content-Length), so that the server is what is
measured. Not here: what is sent (run.py).
"""

import asyncio
import time
from typing import NamedTuple, cast

import uvloop

LIMIT_S = 300.0
_EMPTY = b"HTTP/1.1 304"
"""Has no body, whatever its length says."""


class Measured(NamedTuple):
    """What a run gave: requests a second, and the sorted latencies in seconds."""

    per_s: float
    latencies_s: list[float]
    took_s: float

    def percentile_ms(self, part: float) -> float:
        return (
            self.latencies_s[min(int(len(self.latencies_s) * part), len(self.latencies_s) - 1)]
            * 1000
        )


class _Load:
    def __init__(self, request: bytes, count: int, expect: bytes) -> None:
        self.request = request
        self.left = count
        self.unanswered = count
        self.expect = expect
        self.latencies_s: list[float] = []
        self.done = asyncio.get_running_loop().create_future()


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._send()

    def _send(self) -> None:
        if self._load.left == 0:
            self._transport.close()
            return
        self._load.left -= 1
        self._sent_at = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        told = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        length = 0 if head.startswith(_EMPTY) else int(told)
        if len(rest) < length:
            return
        if not head.startswith(self._load.expect):
            self._fail(AssertionError(f"unexpected answer: {head[:200]!r} {rest[:500]!r}"))
            return
        self._load.latencies_s.append(time.perf_counter() - self._sent_at)
        self._buffer = rest[length:]
        self._load.unanswered -= 1
        if self._load.unanswered == 0 and not self._load.done.done():
            self._load.done.set_result(None)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._fail(exc)

    def _fail(self, error: Exception) -> None:
        if not self._load.done.done():
            self._load.done.set_exception(error)


def post(path: str, body: bytes, *headers: str) -> bytes:
    """Return the bytes of a POST."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def go(socket: str, request: bytes, count: int, connections: int, expect: bytes) -> Measured:
    loop = asyncio.get_running_loop()
    load = _Load(request, count, expect)
    started = time.perf_counter()
    for _ in range(min(connections, count)):
        await loop.create_unix_connection(lambda: _Connection(load), socket)
    async with asyncio.timeout(LIMIT_S):
        await load.done
    took_s = time.perf_counter() - started
    return Measured(count / took_s, sorted(load.latencies_s), took_s)


def run(socket: str, request: bytes, count: int, connections: int, expect: bytes) -> Measured:
    """Send `request` `count` times over `connections`; every answer must start with `expect`."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(go(socket, request, count, connections, expect))
