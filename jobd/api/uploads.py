"""`/v1/uploads`: files that a principal sends first, so that its jobs can name them.

A body goes to disk as it arrives; no more of it than a few pieces is ever in memory, and it
never takes the last of the disk's room. Only who has sent a content sees it: a hash is no
capability.

Not here: where the bytes go (files/uploads.py), who may name them (engine/commands.py).
"""

import asyncio

from aiohttp import web

from jobd.api import parameters
from jobd.api.auth import PRINCIPAL
from jobd.api.codec import encode, read_pieces
from jobd.api.services import Services
from jobd.api.under_way import UnderWay
from jobd.domain.errors import NotFound, TooLarge
from jobd.domain.ids import FILE_ID
from jobd.domain.jobs import Upload
from jobd.files.uploads import check_room, receive
from jobd.wire.rendering import render_upload

_JSON = {"Content-Type": "application/json"}


class UploadRoutes:
    """The handlers of `/v1/uploads`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        limit = services.config.limits.uploads_per_principal
        self._under_way = UnderWay(limit, "too_many_uploads", "uploads")

    async def create(self, request: web.Request) -> web.Response:
        """Take a file of any type: 201 when it is on disk."""
        parameters.check(request)
        with self._under_way.one(request[PRINCIPAL]):
            upload = await self._take(request)
        location = f"{self._services.public_url}/v1/uploads/{upload.file_id}"
        headers = {**_JSON, "Cache-Control": "no-store", "Location": location}
        return web.Response(body=encode(render_upload(upload)), status=201, headers=headers)

    async def _take(self, request: web.Request) -> Upload:
        limit_bytes = self._services.config.limits.upload_bytes
        min_free_bytes = self._services.config.files.min_free_bytes
        layout, length = self._services.layout, request.content_length or 0
        if length <= limit_bytes:  # before the client is asked for what there is no room for
            await asyncio.to_thread(check_room, layout.incoming, min_free_bytes + length)
        detail = f"An upload may have {limit_bytes} bytes at most."
        pieces = read_pieces(
            request,
            lambda _: TooLarge("upload_too_large", detail),
            limit_bytes=limit_bytes,
            stall_timeout_s=self._services.stall_timeout_s,
        )
        received = await receive(
            pieces, layout, limit_bytes=limit_bytes, min_free_bytes=min_free_bytes
        )
        return await self._services.commands.add_upload(request[PRINCIPAL], received)

    async def read(self, request: web.Request) -> web.Response:
        """Answer what is known of an upload of the caller's."""
        parameters.check(request)
        file_id = _file_id(request)
        upload = await self._services.readers.upload(file_id, request[PRINCIPAL])
        if upload is None:
            raise _unknown(file_id)
        headers = {**_JSON, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
        return web.Response(body=encode(render_upload(upload)), headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        """Remove an upload of the caller's, unless a job that is not done names it."""
        parameters.check(request)
        await self._services.commands.remove_upload(_file_id(request), request[PRINCIPAL])
        return web.Response(status=204)


def _file_id(request: web.Request) -> str:
    file_id = request.match_info["file_id"]
    if FILE_ID.fullmatch(file_id) is None:
        raise _unknown(file_id)
    return file_id


def _unknown(file_id: str) -> NotFound:
    return NotFound("not_found", f"There is no upload {file_id} of yours.")
