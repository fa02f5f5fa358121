"""`GET /openapi.json`: the contract as a document."""

import asyncio
import hashlib
from typing import NamedTuple

from aiohttp import web

from jobd.api import parameters
from jobd.api.codec import encode
from jobd.api.preferences import matches
from jobd.api.services import Services


class _Made(NamedTuple):
    body: bytes
    etag: str


class OpenApiRoutes:
    """The handler of `/openapi.json`."""

    def __init__(self, services: Services) -> None:
        self._public_url = services.config.server.public_url
        self._made: asyncio.Task[_Made] | None = None

    async def document(self, request: web.Request) -> web.Response:
        """Answer the document; 304 when the caller has it."""
        parameters.check(request)
        if self._made is None:
            # some ten milliseconds of work, once: on a thread, so that nobody waits for it
            self._made = asyncio.create_task(asyncio.to_thread(_make, self._public_url))
        made = await asyncio.shield(self._made)
        headers = {"ETag": made.etag, "Cache-Control": "private, no-cache"}
        if matches(request.headers, made.etag):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = "application/json"
        return web.Response(body=made.body, headers=headers)


def _make(public_url: str) -> _Made:
    from jobd.api.openapi.document import build  # noqa: PLC0415 - seldom needed, and large

    body = encode(build(public_url))
    return _Made(body, f'"{hashlib.sha256(body).hexdigest()}"')
