"""An answer that is sent in one piece: status, headers and a short body, all known at once.

What aiohttp does for any response (a case-insensitive dictionary of its headers, defaults
for those that are missing, chunks, compression, cookies) was a tenth of what a submission
costs. Whoever does not speak HTTP/1.1 or wants the connection closed is answered that way.

Not here: what the headers say.
"""

import functools
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from jobd.api.middleware import REQUEST_ID, SERVER

_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n"
    for status in (HTTPStatus.OK, HTTPStatus.ACCEPTED)
}


def answer(
    request: web.Request, status: int, headers: str, body: bytes, *, now_ms: int
) -> web.StreamResponse:
    """Return 200 or 202 with the headers, each a line with its end, and the body.

    What every response carries is added.
    """
    if request.version != HttpVersion11 or not request.keep_alive:
        named = [line.split(": ", 1) for line in headers.splitlines()]
        return web.Response(status=status, headers=dict(named), body=body)
    head = (
        f"{_LINES[status]}{headers}X-Request-Id: {request[REQUEST_ID]}\r\nServer: {SERVER}\r\n"
        f"Content-Length: {len(body)}\r\nDate: {_date(now_ms // 1000)}\r\n\r\n"
    )
    return _InOnePiece(status, head.encode() + body)


@functools.lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class _InOnePiece(web.StreamResponse):
    """All the bytes of a response; the connection stays open behind it."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(status=status)
        self._content = content
        self._to: AbstractStreamWriter

    @property
    def prepared(self) -> bool:
        """True: a header that is set now would not be sent."""
        return True

    @property
    def keep_alive(self) -> bool:
        """True: only who keeps the connection is answered so."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Take note of where it goes."""
        self._to = request.writer
        return self._to

    async def write_eof(self, data: bytes = b"") -> None:
        """Send it."""
        await self._to.write(self._content + data)
