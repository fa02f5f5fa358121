"""The limit jobd is measured against: a bare aiohttp handler that reads, parses and answers.

`python benchmarks/bare.py SOCKET STATUS HEADERS_FILE BODY_FILE` answers every request with that
status, body and those headers, as many bytes as jobd answers, and stores and looks up nothing.
"""

import asyncio
import json
import socket
import sys
from pathlib import Path

import msgspec
import uvloop
from aiohttp import web


async def serve(path: str, status: int, headers: dict[str, str], body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            msgspec.json.decode(await request.read())
        return web.Response(body=body, status=status, headers=headers)

    app = web.Application()
    app.router.add_post("/v1/jobs", answer)
    app.router.add_get("/v1/jobs/{job_id}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    await web.SockSite(runner, sock, backlog=1024).start()
    print(f"ready on {path}", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            serve(
                sys.argv[1],
                int(sys.argv[2]),
                json.loads(Path(sys.argv[3]).read_text()),
                Path(sys.argv[4]).read_bytes(),
            )
        )
