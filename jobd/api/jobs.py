"""`/v1/jobs`: submit, list, read (and wait for), cancel, retry, delete.

A submission is answered from what was stored, without reading it back, unless the answer
waited for the job. Not here: what a submission may say (engine/commands.py), the
document (wire/rendering.py), results (results.py).
"""

import hashlib

import msgspec
from aiohttp import web

from jobd.api import lookup, parameters
from jobd.api.answers import answer
from jobd.api.auth import CALLER, PRINCIPAL
from jobd.api.codec import Decoder, encode
from jobd.api.conditions import check_digest, refuse_unmatched
from jobd.api.documents import Document, Documents, etag
from jobd.api.middleware import REQUEST_ID
from jobd.api.preferences import (
    Preferences,
    idempotency_key,
    matches,
    preferences,
    traceparent,
)
from jobd.api.services import Services
from jobd.api.waiting import Waits, job_done
from jobd.bus import any_event
from jobd.domain import job_tokens
from jobd.domain.errors import FieldError, Invalid, Malformed
from jobd.domain.jobs import IdempotencyKey, Job
from jobd.domain.principals import Caller, Scope
from jobd.engine.commands import Accepted, Submission
from jobd.wire.created import with_token
from jobd.wire.jobs import JobList
from jobd.wire.rendering import render_job
from jobd.wire.submission import SubmitRequest
from jobd.wire.times import MAX_MS, Timestamp, to_ms

ROUTE = "/v1/jobs"

_decoder = Decoder(SubmitRequest)
_canonical = msgspec.json.Encoder(order="sorted").encode
_JSON = {"Content-Type": "application/json"}
_SUBMITTED = "Content-Type: application/json\r\nCache-Control: no-store\r\nVary: Prefer\r\n"
_REPLAYED = "Idempotent-Replayed: true\r\n"
_READ = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Prefer"}


class JobRoutes:
    """The handlers of `/v1/jobs`."""

    def __init__(self, services: Services, waits: Waits) -> None:
        self._services = services
        self._limits = services.config.limits
        self._waits = waits
        self._documents = Documents(services)
        self._url = services.public_url + ROUTE

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Store a job and answer 202; 200 when it was done within the time to wait."""
        parameters.check(request)
        wishes = preferences(request.headers, max_wait_s=self._limits.max_wait_s)
        key = idempotency_key(request.headers)
        body = await self._services.read_json(request)
        if "Content-Digest" in request.headers:
            check_digest(request.headers, body)
        asked = _decoder.decode(body)
        accepted = await self._services.commands.submit(
            Submission(  # by position, at a fifth of the cost
                request[PRINCIPAL],
                asked.kind,
                asked.args,
                asked.queue,
                asked.priority,
                _moment_ms(asked.run_at, "run_at"),
                _moment_ms(asked.start_before, "start_before"),
                asked.timeout_seconds,
                asked.timeout_seconds is not None and request[CALLER].may(Scope.OPERATE),
                asked.max_attempts,
                asked.retention_seconds,
                asked.metadata,
                traceparent(request.headers),
                asked.callback_url,
                asked.callback_events,
                None if key is None else _idempotency(key, asked),
                request_id=request[REQUEST_ID] if "X-Request-Id" in request.headers else None,
            ),
            look_for_slot=wishes.wait_s is None and not wishes.respond_async,
        )
        earlier = accepted.earlier
        if earlier is not None:
            lookup.refuse_expired(earlier, self._services.clock.wall_ms())
        wait_s = self._wait_s(wishes, accepted)
        if wait_s and not (earlier is not None and earlier.done):
            job = await self._ended(accepted, wait_s, request[CALLER])
        elif earlier is not None:
            job = earlier
        else:
            return self._accepted(request, accepted, wishes)
        document = await self._documents.of(job)
        return self._found(request, document, wishes, replayed=accepted.replayed)

    def _wait_s(self, wishes: Preferences, accepted: Accepted) -> float:
        if wishes.wait_s is not None:
            return wishes.wait_s
        if wishes.respond_async or not accepted.may_start_now:
            return 0
        return self._limits.sync_wait_ms / 1000

    async def _ended(self, accepted: Accepted, wait_s: float, caller: Caller) -> Job:
        """Return the job when it is done, or as it is when the wait is over.

        Nothing of a new job is missed: its first event after the commit is published
        later than the task that submitted it goes on. A replayed one is read once more.
        """
        readers, bus, job = self._services.readers, self._services.bus, accepted.earlier
        if job is None:
            return await self._new_one_ended(accepted, wait_s, caller)
        with bus.watch(accepted.seq, job_done) as watch:
            job = await readers.get(job.job_id, detail=True) or job
            if job.done:
                return job
            await self._waits.until_seen(watch, wait_s, caller)
        return await readers.get(job.job_id, detail=True) or job

    async def _new_one_ended(self, accepted: Accepted, wait_s: float, caller: Caller) -> Job:
        """Return what is known of its end, so that most are not read back."""
        services, new, seq = self._services, accepted.new, accepted.seq
        with (
            services.bus.watch(seq, job_done) as watch,
            services.endings.of(new, seq, services.bus) as ending,
        ):
            await self._waits.until_seen(watch, wait_s, caller)
        known = ending.job()
        return known or await services.readers.get(new.job_id, detail=True) or accepted.job

    def _accepted(
        self, request: web.Request, accepted: Accepted, wishes: Preferences
    ) -> web.StreamResponse:
        """Answer from what was stored."""
        now_ms = self._services.clock.wall_ms()
        body, poll_s = self._documents.encode_new(accepted.new, now_ms)
        headers = (
            f"{_SUBMITTED}ETag: {etag(accepted.event_id)}\r\nRetry-After: {poll_s}\r\n"
            f"Location: {self._url}/{accepted.new.job_id}\r\n{_applied(wishes)}"
        )
        return answer(request, 202, headers, body, now_ms=now_ms)

    def _found(
        self, request: web.Request, document: Document, wishes: Preferences, *, replayed: bool
    ) -> web.StreamResponse:
        """Answer from what was read."""
        job = document.job
        version = "".join(f"{name}: {value}\r\n" for name, value in document.version().items())
        headers = (
            f"{_SUBMITTED}{version}Location: {self._url}/{job.job_id}\r\n{_applied(wishes)}"
            f"{_REPLAYED if replayed else ''}"
        )
        token = job_tokens.issue(job.job_id, self._services.tokens.server_key)
        body = with_token(self._documents.encode(document), token)
        return answer(request, 200 if job.done else 202, headers, body, now_ms=document.now_ms)

    async def page(self, request: web.Request) -> web.Response:
        """Answer a page of the caller's jobs, or of all, newest first.

        It may be short and not the last.
        """
        asked = parameters.job_filter(request, lookup.whose(request))
        jobs, before_seq = await self._services.readers.page(asked)
        url = self._services.public_url
        links = [f'<{parameters.page_url(request, None, url)}>; rel="first"']
        token = None
        if before_seq is not None:
            token = parameters.page_token(asked, before_seq)
            links.append(f'<{parameters.page_url(request, token, url)}>; rel="next"')
        now_ms = self._services.clock.wall_ms()
        estimate = self._services.estimate
        entries = [
            render_job(job, now_ms, estimate(job, now_ms, None), public_url=url) for job in jobs
        ]
        document = JobList(entries, token)
        headers = {**_JSON, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
        headers["Link"] = ", ".join(links)
        return web.Response(body=encode(document), headers=headers)

    async def read(self, request: web.Request) -> web.Response:
        """Answer one job, at once or at its next change; 304 when the caller has it."""
        parameters.check(request)
        wishes = preferences(request.headers, max_wait_s=self._limits.max_wait_s)
        job = await lookup.find_job(self._services, request, detail=True)
        if wishes.wait_s and not job.done:
            job = await self._changed(job, wishes.wait_s, wishes, request)
        document = await self._documents.of(job)
        headers = {**_READ, **document.version()}
        if wishes.wait_s is not None:
            headers["Preference-Applied"] = f"wait={wishes.wait_s}"
        if matches(request.headers, headers["ETag"]):
            return web.Response(status=304, headers=headers)
        headers.update(_JSON)
        return web.Response(body=self._documents.encode(document), headers=headers)

    async def _changed(
        self, job: Job, wait_s: float, wishes: Preferences, request: web.Request
    ) -> Job:
        """Return the job once it differs from what the caller has, or when the wait is over.

        What the caller has is what If-None-Match names; without it, the job as it was
        when the request came.
        """
        readers = self._services.readers
        wanted = job_done if wishes.until_done else any_event
        with self._services.bus.watch(job.seq, wanted) as watch:
            # a change between the first reading and the watch would be waited for in vain
            fresh = await readers.get(job.job_id, detail=True) or job
            if fresh.done:
                return fresh
            if wishes.until_done or _caller_has(request, job, fresh):
                await self._waits.until_seen(watch, wait_s, request[CALLER])
        return await readers.get(job.job_id, detail=True) or fresh

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a job: 200 when it is cancelled, 202 while its attempt is being ended."""
        parameters.check(request)
        found = await lookup.find_job_to_change(self._services, request)
        job, still_running = await self._services.commands.cancel(found.job_id)
        document = await self._documents.of(job)
        headers = {**_JSON, "Cache-Control": "no-store", **document.version()}
        status = 202 if still_running else 200
        return web.Response(body=self._documents.encode(document), status=status, headers=headers)

    async def retry(self, request: web.Request) -> web.Response:
        """Queue a new job like one that failed or was cancelled, and answer 202 with it."""
        parameters.check(request)
        found = await lookup.find_job_to_change(self._services, request)
        job = await self._services.commands.retry(found.job_id)
        document = await self._documents.of(job)
        headers = {**_JSON, "Cache-Control": "no-store", **document.version()}
        headers["Location"] = f"{self._url}/{job.job_id}"
        return web.Response(body=self._documents.encode(document), status=202, headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a job that is over, and all that is kept of it.

        Its version is a weak one, which If-Match never matches, but for `*`.
        """
        parameters.check(request)
        job = await lookup.find_job_to_change(self._services, request)
        if job.done:  # else it is refused anyway
            refuse_unmatched(request.headers, etag(job.event_id))
        await self._services.commands.delete(job.job_id)
        return web.Response(status=204)


def _applied(wishes: Preferences) -> str:
    applied = wishes.applied
    return "" if applied is None else f"Preference-Applied: {applied}\r\n"


def _caller_has(request: web.Request, job: Job, fresh: Job) -> bool:
    if "If-None-Match" in request.headers:
        return matches(request.headers, etag(fresh.event_id))
    return fresh.event_id == job.event_id


def _moment_ms(moment: Timestamp | None, field: str) -> int | None:
    if moment is None:
        return None
    ms = to_ms(moment)
    if not 0 <= ms <= MAX_MS:
        error = FieldError("It must lie in the years 1970 to 9999, in UTC", pointer=f"#/{field}")
        raise Invalid("validation_error", f"{field} cannot be stored.", errors=(error,))
    return ms


def _idempotency(key: str, asked: SubmitRequest) -> IdempotencyKey:
    """Return the key with a digest of what was asked, however its JSON was written."""
    try:
        canonical = _canonical(asked)
    except RecursionError:
        raise Malformed("malformed_json", "The body is nested too deeply.") from None
    route = f"POST {ROUTE}"
    digest = hashlib.sha256(route.encode() + b"\n" + canonical).digest()
    return IdempotencyKey(key, route, digest)
