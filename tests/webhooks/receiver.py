"""A receiver over TCP and TLS that misbehaves as its URL says, and judges each request it gets.

`/hang`, `/status/410`, `/flood` …: the first part of the path names a behaviour below. What
comes is verified with the packages `standardwebhooks` and `svix`, which others wrote; what
they do not take stands in `forged`. It may also be told to `hold` all that comes.

Not here: receivers on unix sockets that are told step by step (conftest.py), the addresses
that nobody may reach (egress/).
"""

import asyncio
import contextlib
import functools
import gzip
import io
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import standardwebhooks
import svix.webhooks
from aiohttp import web

FLOOD_BYTES = 300_000_000
BOMB_BYTES = 200_000_000
MARK = "FORGED"
"""In every piece of text that a receiver may send beside its status."""
_FORGERY = f"\x1b[2J\r\x9b31m{MARK}\u202e\u2028".encode()
_HERE = "127.0.0.1"
_CHUNK = bytes(65536)
_DRIP_S = 0.02

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Judged(NamedTuple):
    """A request that both packages took for genuine."""

    path: str
    webhook_id: str
    attempt: int
    body: bytes
    signatures: int


class Receiver:
    """What has come, and from whom it may come."""

    def __init__(self) -> None:
        self.port = 0
        self.tls_port = 0
        self.genuine: list[Judged] = []
        self.forged: list[str] = []
        self.paths = Counter[str]()
        self.held = 0
        self.answered = 0
        """Answers of `/ok` that are on their way."""
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.before_answer: Callable[[], object] = lambda: None
        self._secrets: set[str] = set()
        self._news = asyncio.Condition()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Return where a behaviour is."""
        return f"http://{host}:{self.port}/{path}"

    def trust(self, *secrets: str) -> None:
        """Take what is signed with each of these, if it is signed with any."""
        self._secrets.update(secrets)

    def hold(self) -> None:
        """Let all that comes wait until `let_go` is set; `held` counts what waits."""
        self.let_go.clear()

    async def wait_for(self, enough: Callable[[], bool]) -> None:
        """Return when that is true; it is looked at with each request."""
        async with self._news:
            await self._news.wait_for(enough)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Judge a request and do to it what its path says."""
        name = request.match_info["name"]
        body = await request.read()
        self.paths[request.path] += 1
        self._judge(request, body)
        self.held += 1
        await self._tell()
        try:
            await self.let_go.wait()
        finally:
            self.held -= 1
        self.before_answer()
        answer = await _BEHAVIOURS[name](request)
        if name == "ok":
            await answer.prepare(request)
            await answer.write_eof()
            self.answered += 1
            await self._tell()
        return answer

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _judge(self, request: web.Request, body: bytes) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        taken = [secret for secret in self._secrets if verified(secret, headers, body)]
        if not taken:
            self.forged.append(request.path)
            return
        self.genuine.append(
            Judged(
                request.path,
                headers["webhook-id"],
                int(headers["jobd-attempt"]),
                body,
                len(headers["webhook-signature"].split(" ")),
            )
        )


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether both packages take a request for genuine and recent; they have to agree."""
    said = []
    for package in (standardwebhooks.Webhook(secret), svix.webhooks.Webhook(secret)):
        try:
            package.verify(body, headers)
        except standardwebhooks.WebhookVerificationError:
            said.append(False)
        else:
            said.append(True)
    assert len(set(said)) == 1, f"the packages do not agree: {said}"
    return said[0]


async def _ok(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


async def _status(request: web.Request) -> web.StreamResponse:
    """Answer with the status of the path, and the headers and text of the query."""
    headers = {name: value for name, value in request.query.items() if name != "text"}
    text = request.query.get("text", "")
    return web.Response(status=int(request.match_info["rest"]), headers=headers, text=text)


async def _slow(request: web.Request) -> web.StreamResponse:
    await _pause(float(request.query["s"]))
    return web.Response(status=204)


async def _hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _drip(request: web.Request) -> web.StreamResponse:
    """Begin a header and never end it, a byte at a time."""
    transport = request.transport
    assert transport is not None
    transport.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not transport.is_closing():
        transport.write(b"z")
        await _pause(_DRIP_S)
    return web.Response()


async def _drip_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"z")
        await _pause(_DRIP_S)


async def _reset(request: web.Request) -> web.StreamResponse:
    """Drop the connection without an answer: also how an acknowledgement is lost."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _garbage(request: web.Request) -> web.StreamResponse:
    return await _raw(request, _FORGERY * 20 + b"\0\xff\r\n\r\n")


async def _forging(request: web.Request) -> web.StreamResponse:
    """Say in every place what would steer a terminal or forge a line of a log."""
    head = [
        b"HTTP/1.1 500 " + _FORGERY.replace(b"\r", b""),
        *(
            name + b": " + _FORGERY.replace(b"\r", b"").replace(b"\x1b", b"")
            for name in (b"Retry-After", b"Set-Cookie", b"Location", b"X-Any")
        ),
        b"Content-Type: text/plain; charset=" + MARK.encode(),
        b"Content-Length: " + str(len(_FORGERY)).encode(),
    ]
    return await _raw(request, b"\r\n".join(head) + b"\r\n\r\n" + _FORGERY)


async def _raw(request: web.Request, answer: bytes) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(answer)
    request.transport.close()
    return web.Response()


async def _bomb(request: web.Request) -> web.StreamResponse:
    return web.Response(body=bomb(), headers={"Content-Encoding": "gzip"})


async def _flood(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(FLOOD_BYTES)})
    await response.prepare(request)
    for _ in range(FLOOD_BYTES // len(_CHUNK)):
        await response.write(_CHUNK)
    return response


_BEHAVIOURS: dict[str, Behaviour] = {
    "ok": _ok,
    "status": _status,
    "slow": _slow,
    "hang": _hang,
    "drip": _drip,
    "drip-body": _drip_body,
    "reset": _reset,
    "garbage": _garbage,
    "forging": _forging,
    "bomb": _bomb,
    "flood": _flood,
}


@functools.cache
def bomb() -> bytes:
    """Return little that unpacks to much."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        for _ in range(BOMB_BYTES // len(_CHUNK)):
            file.write(_CHUNK)
    return packed.getvalue()


async def _pause(seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def serving(*hosts: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver until the block ends; AssertionError then if anything came forged.

    It is at the same port of all hosts; none are 127.0.0.1, where it is with `tls` too.
    """
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{name}", receiver.handle)
    app.router.add_post("/{name}/{rest:.*}", receiver.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        for host in hosts or (_HERE,):
            await web.TCPSite(runner, host, receiver.port).start()
            receiver.port = runner.addresses[0][1]
        if tls is not None:
            await web.TCPSite(runner, _HERE, 0, ssl_context=tls).start()
            receiver.tls_port = runner.addresses[-1][1]
        yield receiver
    finally:
        await runner.cleanup()
    assert receiver.forged == []
