"""`/v1/batches`: many jobs in one request, and what becomes of them together.

Not here: reading the body (batch_lines.py), writing it (engine/batches.py), the documents
(wire/batches.py).
"""

import asyncio
import base64
import binascii
import hashlib
from typing import Any

import msgspec
from aiohttp import web

from jobd.api import lookup, parameters
from jobd.api.auth import CALLER
from jobd.api.batch_lines import Caps, Numbered, lines_of
from jobd.api.codec import Decoder, encode
from jobd.api.preferences import idempotency_key, matches, traceparent
from jobd.api.services import Services
from jobd.api.under_way import UnderWay
from jobd.domain.batches import Batch
from jobd.domain.errors import FieldError, Gone, Invalid, JobdError, Malformed, NotFound
from jobd.domain.ids import BATCH_ID
from jobd.domain.jobs import IdempotencyKey
from jobd.domain.principals import Caller, Scope
from jobd.domain.statuses import Status
from jobd.engine.commands import Resolve, Submission, Taking
from jobd.wire.batches import BatchLine, BatchList, render_batch, render_detail, retry_after_s
from jobd.wire.submission import SubmitRequest
from jobd.wire.times import MAX_MS, Timestamp, to_ms

ROUTE = "/v1/batches"

_JOBS_ROUTE = "POST /v1/jobs"
"""A line's key is a key of this route: the same key there names the same job."""

TURN_S = 0.005
"""How long the event loop is held by the lines of one batch."""

_decoder = Decoder(BatchLine)
_canonical = msgspec.json.Encoder(order="sorted").encode
_OWN_FIELDS = SubmitRequest.__struct_fields__
_JSON = {"Content-Type": "application/json"}
_READ = {**_JSON, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
_MAY_BE_RETRIED = {Status.FAILED, Status.CANCELLED}
_SEQ_BYTES = 8
_DIGEST_BYTES = 8


class BatchRoutes:
    """The handlers of `/v1/batches`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._batches = services.commands.batches
        self._url = services.public_url + ROUTE
        limits = services.config.limits
        self._caps = Caps(limits.batch_bytes, limits.body_bytes, services.stall_timeout_s)
        self._under_way = UnderWay(limits.batches_per_principal, "too_many_batches", "batches")

    async def create(self, request: web.Request) -> web.Response:
        """Take a batch to its last line, then store its jobs: 202 when they are on disk."""
        parameters.check(request, ("atomic", "callback_url"))
        whole = parameters.flag(request, "atomic")
        callback_url = request.query.get("callback_url")
        if callback_url is not None:
            self._services.commands.check_callback(callback_url)
        caller, key = request[CALLER], idempotency_key(request.headers)
        principal = caller.principal
        resolve = self._resolve(caller, traceparent(request.headers))
        with (
            self._under_way.one(principal),
            self._batches.alone(principal, key),
            self._batches.taking(resolve, whole=whole, principal=principal) as taking,
        ):
            self._batches.check_room(principal)
            await self._services.commands.handlers_looked_up()
            digest = hashlib.sha256(f"{ROUTE}\n{whole}\n{callback_url}\n".encode())
            async for lines in lines_of(request, self._caps):
                taking.received_bytes += sum(len(line) for _, line in lines)
                await self._take(lines, taking)
                if key is not None:
                    digest.update(_joined(lines))
                self._batches.check_room(principal)
            new = msgspec.structs.replace(
                self._batches.new(principal),
                retention_ms=taking.retention_ms,
                callback_url=callback_url,
                idempotency_key=key,
                fingerprint=digest.hexdigest(),
            )
            batch, replayed = await self._batches.write(new, taking)
        headers = {"Idempotent-Replayed": "true"} if replayed else {}
        return self._written(batch, 202, headers)

    async def _take(self, lines: Numbered, taking: Taking) -> None:
        """Take some lines; other requests have their turn whenever that has taken a while."""
        clock, large_bytes = self._services.clock, 2 * self._services.config.limits.args_bytes
        began_s = clock.monotonic_s()
        for number, line in lines:
            try:
                asked = _decoder.decode(line)
                if len(line) > large_bytes:
                    self._services.commands.check_size(asked.args)
            except JobdError as error:
                taking.reject(number, error)
            else:
                taking.take(number, asked)
            if clock.monotonic_s() - began_s > TURN_S:
                await _others_turn()
                began_s = clock.monotonic_s()
        await _others_turn()

    def _resolve(self, caller: Caller, trace: str | None) -> Resolve:
        commands = self._services.commands
        return Resolve(
            lambda asked, index: commands.resolve_line(_submission(asked, caller, trace, index)),
            lambda like, asked, index: commands.resolve_like(
                like, asked.args, asked.metadata, index
            ),
        )

    async def page(self, request: web.Request) -> web.Response:
        """Answer a page of the caller's batches, or of all, newest first."""
        parameters.check(request, ("all", "page_size", "page_token"))
        size = parameters.whole(request, "page_size", 1, parameters.MAX_PAGE_SIZE)
        size = size or parameters.DEFAULT_PAGE_SIZE
        principal, token = lookup.whose(request), request.query.get("page_token")
        before_seq = _before_seq(token, principal) if token else None
        batches = await self._batches.page(principal, before_seq, size + 1)
        shown = batches[:size]
        url = self._services.public_url
        links = [f'<{parameters.page_url(request, None, url)}>; rel="first"']
        token = _page_token(shown[-1].seq, principal) if len(batches) > size else None
        if token is not None:
            links.append(f'<{parameters.page_url(request, token, url)}>; rel="next"')
        document = BatchList([render_batch(batch, public_url=url) for batch in shown], token)
        return web.Response(body=encode(document), headers={**_READ, "Link": ", ".join(links)})

    async def read(self, request: web.Request) -> web.Response:
        """Answer one batch; 304 when the caller has it."""
        parameters.check(request)
        batch = await self._find(request)
        body = encode(render_detail(batch, public_url=self._services.public_url))
        headers = {**_READ, **self._version(batch, body)}
        if matches(request.headers, headers["ETag"]):
            del headers["Content-Type"]
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers)

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel what has not ended: 200 when all has, 202 while attempts are being ended."""
        parameters.check(request)
        batch = await self._batches.cancel(await self._find_to_change(request))
        return self._written(batch, 200 if batch.done else 202, {})

    async def retry(self, request: web.Request) -> web.Response:
        """Queue a new batch of the jobs that failed, or were cancelled; answer 202 with it."""
        parameters.check(request, ("status",))
        statuses = parameters.statuses(request) or (Status.FAILED,)
        if not _MAY_BE_RETRIED.issuperset(statuses):
            detail = "Only jobs that failed or were cancelled can be retried."
            error = FieldError(detail, parameter="status")
            raise Malformed("invalid_parameter", detail, errors=(error,))
        batch = await self._batches.retry(await self._find_to_change(request), statuses)
        return self._written(batch, 202, {})

    async def _find(self, request: web.Request) -> Batch:
        batch_id = request.match_info["batch_id"]
        unknown = NotFound("batch_not_found", f"There is no batch {batch_id}.")
        if BATCH_ID.fullmatch(batch_id) is None:
            raise unknown
        batch = await self._batches.find(batch_id)
        now_ms = self._services.clock.wall_ms()
        expired = Gone("batch_expired", f"The batch {batch_id} is older than its retention.")
        if batch is None or not lookup.may_see(request[CALLER], batch.principal):
            kept_since_ms = now_ms - self._services.config.retention.default_s * 1000
            created_at_ms = int(batch_id.removeprefix("bat_")[:12], 16)
            raise expired if created_at_ms < kept_since_ms else unknown
        if batch.expires_at_ms is not None and batch.expires_at_ms <= now_ms:
            raise expired
        return batch

    async def _find_to_change(self, request: web.Request) -> Batch:
        batch = await self._find(request)
        lookup.refuse_to_change(request[CALLER], batch.principal)
        return batch

    def _written(self, batch: Batch, status: int, headers: dict[str, str]) -> web.Response:
        body = encode(render_detail(batch, public_url=self._services.public_url))
        headers = {**_JSON, "Cache-Control": "no-store", **self._version(batch, body), **headers}
        headers["Location"] = f"{self._url}/{batch.batch_id}"
        return web.Response(body=body, status=status, headers=headers)

    def _version(self, batch: Batch, body: bytes) -> dict[str, str]:
        """Return the headers that say which version this is and when to ask for the next."""
        digest = hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()
        headers = {"ETag": f'W/"{digest}"'}
        poll_s = retry_after_s(batch, self._services.clock.wall_ms())
        if poll_s is not None:
            headers["Retry-After"] = str(poll_s)
        return headers


async def _others_turn() -> None:
    await asyncio.sleep(0)  # noqa: TID251 - no time is waited for


def _submission(asked: BatchLine, caller: Caller, trace: str | None, index: int) -> Submission:
    key = asked.idempotency_key
    return Submission(
        principal=caller.principal,
        kind=asked.kind,
        args=asked.args,
        queue=asked.queue,
        priority=asked.priority,
        run_at_ms=None if asked.run_at is None else _ms(asked.run_at, "run_at"),
        start_before_ms=(
            None if asked.start_before is None else _ms(asked.start_before, "start_before")
        ),
        timeout_s=asked.timeout_seconds,
        may_raise_timeout=caller.may(Scope.OPERATE),
        max_attempts=asked.max_attempts,
        retention_s=asked.retention_seconds,
        metadata=asked.metadata,
        traceparent=trace,
        callback_url=asked.callback_url,
        callback_events=asked.callback_events,
        idempotency=None if key is None else _idempotency(key, asked),
        batch_index=index,
    )


def _ms(moment: Timestamp, field: str) -> int:
    ms = to_ms(moment)
    if not 0 <= ms <= MAX_MS:
        error = FieldError("It must lie in the years 1970 to 9999, in UTC", pointer=f"#/{field}")
        raise Invalid("validation_error", f"{field} cannot be stored.", errors=(error,))
    return ms


def _idempotency(key: str, asked: BatchLine) -> IdempotencyKey:
    """Return a line's key with a digest of the rest of it, as `POST /v1/jobs` makes it."""
    own: dict[str, Any] = {name: getattr(asked, name) for name in _OWN_FIELDS}
    try:
        canonical = _canonical(SubmitRequest(**own))
    except RecursionError:
        raise Malformed("malformed_json", "The line is nested too deeply.") from None
    digest = hashlib.sha256(_JOBS_ROUTE.encode() + b"\n" + canonical).digest()
    return IdempotencyKey(key, _JOBS_ROUTE, digest)


def _joined(lines: Numbered) -> bytes:
    return b"".join(line.strip() + b"\n" for _, line in lines)


def _page_token(seq: int, principal: str | None) -> str:
    token = seq.to_bytes(_SEQ_BYTES) + _digest(principal)
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _before_seq(token: str, principal: str | None) -> int:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    seq = int.from_bytes(raw[:_SEQ_BYTES])
    if raw[_SEQ_BYTES:] != _digest(principal) or seq >= 1 << 63:
        detail = "The token is not one of this list."
        error = FieldError(detail, parameter="page_token")
        raise Malformed("invalid_page_token", detail, errors=(error,))
    return seq


def _digest(principal: str | None) -> bytes:
    return hashlib.sha256(f"{ROUTE} {principal or ''}".encode()).digest()[:_DIGEST_BYTES]
