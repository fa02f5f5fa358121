"""jobd itself, asked through its own synchronous client, or (`JOBD_RAW`) by raw HTTP."""

import asyncio
import os
import sys

import uvloop

import load
from jobd.client.calls import Client
from jobd.wire.submission import SubmitRequest
from peers import common

KIND = "bench.noop"
QUEUE = "bench"
SOCKET = os.environ["BENCH_SERVER"]


def make() -> common.Submit:
    client = Client(SOCKET)
    client.list(page_size=1)
    request = SubmitRequest(kind=KIND, args={}, queue=QUEUE)
    return lambda: client.submit(request)


class _Raw:
    """One connection, one request in flight."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        body = f'{{"kind": "{KIND}", "args": {{}}, "queue": "{QUEUE}"}}'.encode()
        self._request = load.post("/v1/jobs", body, "Prefer: respond-async")

    async def __call__(self) -> None:
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 202"), head
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length))


async def make_raw() -> common.AsyncSubmit:
    return _Raw(*await asyncio.open_unix_connection(SOCKET))


def fill_raw(count: int, callers: int) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    body = f'{{"kind": "{KIND}", "args": {{}}, "queue": "{QUEUE}"}}'.encode()
    request = load.post("/v1/jobs", body, "Prefer: respond-async")
    load.run(SOCKET, request, count, callers, b"HTTP/1.1 202")
    print("done", flush=True)


if __name__ == "__main__":
    uvloop.install()
    if "JOBD_RAW" not in os.environ:
        common.main(make)
    elif sys.argv[1] == "fill":
        fill_raw(int(sys.argv[2]), int(sys.argv[3]))
    else:
        common.amain(make_raw)
