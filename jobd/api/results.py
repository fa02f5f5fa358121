"""What a job leaves: its result and its artifacts, as they were stored.

Tags are strong, as the bytes never change: the tag is the digest. A part is sent only of the
version that the caller has, so that a broken download can be resumed. A file is sent in
chunks with the length that was stored; one that is not that long is a bug or somebody's
hand, and is refused rather than sent.

Not here: results inside the job document (jobs.py), which part is asked for (conditions.py).
"""

import asyncio
import base64
import errno
import logging
import os
from typing import BinaryIO
from urllib.parse import quote

from aiohttp import web

from jobd.api import lookup, parameters
from jobd.api.codec import encode
from jobd.api.conditions import refuse_unmatched, wanted_part
from jobd.api.middleware import identity_headers
from jobd.api.preferences import matches
from jobd.api.problems import JobFailed
from jobd.api.services import Services
from jobd.domain.errors import Conflict, NotFound, Unavailable
from jobd.domain.jobs import Job, Result
from jobd.domain.statuses import Status
from jobd.files.open import open_below
from jobd.wire.rendering import render_artifacts, retry_after_s

log = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024

_MAY_PASS = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class ResultRoutes:
    """The handlers of `/result` and `/artifacts` below a job."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def result(self, request: web.Request) -> web.StreamResponse:
        """Send the result of a job that completed, or a part of it."""
        parameters.check(request)
        job = await lookup.find_job(self._services, request, detail=True)
        return await self._answer(request, job, self._result_of(job))

    def _result_of(self, job: Job) -> Result:
        if not job.done:
            now_ms = self._services.clock.wall_ms()
            estimate = self._services.estimate(job, now_ms, None)
            raise Conflict(
                "result_not_ready",
                f"The job is {job.status}.",
                retryable=True,
                retry_after_s=retry_after_s(job, now_ms, estimate),
            )
        if job.status is not Status.COMPLETED:
            raise JobFailed(f"The job is {job.status} and has no result.", job.error)
        if job.result is None:
            raise NotFound("not_found", "The job completed without a result.")
        return job.result

    async def artifacts(self, request: web.Request) -> web.Response:
        """Answer the list of files that a job left, the newest of each name."""
        parameters.check(request)
        job = await lookup.find_job(self._services, request)
        found = await self._services.readers.artifacts(job.job_id)
        url = f"{self._services.public_url}/v1/jobs/{job.job_id}/artifacts"
        document = render_artifacts(found, lambda name: f"{url}/{quote(name, safe='')}")
        headers = {"Content-Type": "application/json", "Cache-Control": "private, no-cache"}
        return web.Response(body=encode(document), headers=headers)

    async def artifact(self, request: web.Request) -> web.StreamResponse:
        """Send one file that a job left, or a part of it, whatever became of the job."""
        parameters.check(request)
        job = await lookup.find_job(self._services, request)
        name = request.match_info["name"]
        artifacts = await self._services.readers.artifacts(job.job_id)
        found = next((artifact for artifact in artifacts if artifact.name == name), None)
        if found is None:
            raise NotFound("not_found", f"The job left no artifact {name!r}.")
        file = Result(
            found.media_type, found.size_bytes, found.sha256, path=found.path, filename=found.name
        )
        return await self._answer(request, job, file)

    async def _answer(self, request: web.Request, job: Job, result: Result) -> web.StreamResponse:
        """Answer with what is asked for of a result: all of it, a part, or that it is known."""
        headers = self._headers(job, result)
        etag = headers["ETag"]
        refuse_unmatched(request.headers, etag)
        if matches(request.headers, etag):
            return web.Response(status=304, headers=_of_304(headers))
        part, status = range(result.size_bytes), 200
        if request.method == "GET":
            wanted = wanted_part(request.headers, etag, result.size_bytes)
            if wanted is not None:
                part, status = wanted, 206
                span = f"{part.start}-{part.stop - 1}"
                headers["Content-Range"] = f"bytes {span}/{result.size_bytes}"
        if result.body is not None:
            body = result.body[part.start : part.stop]
            return web.Response(status=status, body=body, headers=headers)
        return await self._send(request, result, part, status, headers)

    def _headers(self, job: Job, result: Result) -> dict[str, str]:
        now_ms = self._services.clock.wall_ms()
        # of a job that still runs a later attempt may leave another file of that name
        caching = "no-cache"
        if job.expires_at_ms is not None:
            caching = f"max-age={max(job.expires_at_ms - now_ms, 0) // 1000}, immutable"
        digest = base64.b64encode(bytes.fromhex(result.sha256)).decode()
        headers = {
            "Content-Type": result.media_type,
            "ETag": f'"{result.sha256}"',
            "Accept-Ranges": "bytes",
            "Repr-Digest": f"sha-256=:{digest}:",
            "Cache-Control": f"private, {caching}",
            "X-Content-Type-Options": "nosniff",
        }
        if result.filename is not None:
            filename = quote(result.filename, safe="")
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{filename}"
        return headers

    async def _send(
        self,
        request: web.Request,
        result: Result,
        part: range,
        status: int,
        headers: dict[str, str],
    ) -> web.StreamResponse:
        headers |= identity_headers(request)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(part)
        loop = asyncio.get_running_loop()
        with await loop.run_in_executor(None, self._open, result) as file:
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            file.seek(part.start)
            left = len(part)
            while left:
                chunk = await loop.run_in_executor(None, _read, file, min(left, CHUNK_BYTES))
                await response.write(chunk)
                left -= len(chunk)
        return response

    def _open(self, result: Result) -> BinaryIO:
        """Open the stored file; OSError when it is not the one that was stored, or Unavailable."""
        if result.path is None:
            raise OSError("a result has neither a body nor a file")
        try:
            file = open_below(self._services.layout.artifacts, result.path)
        except OSError as error:
            if error.errno not in _MAY_PASS:
                raise
            log.exception("A result could not be opened.")
            detail = "The file of the result could not be opened just now."
            raise Unavailable("storage_failed", detail, retryable=True) from error
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes != result.size_bytes:
            file.close()
            raise OSError(f"{result.path} has {size_bytes} bytes, not {result.size_bytes}")
        return file


def _read(file: BinaryIO, size_bytes: int) -> bytes:
    """Read up to `size_bytes`; ConnectionError, which ends the transfer, when that fails.

    The head of the answer is out: all that can still be said is a body that is too short.
    """
    try:
        chunk = file.read(size_bytes)
    except OSError as error:
        log.exception("A stored file cannot be read.", extra={"file": file.name})
        raise ConnectionAbortedError("the stored file cannot be read") from error
    if not chunk:
        log.error("A stored file became shorter while it was sent.", extra={"file": file.name})
        raise ConnectionAbortedError("the stored file became shorter")
    return chunk


def _of_304(headers: dict[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("ETag", "Cache-Control")}
