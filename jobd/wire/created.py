"""The document of a job that has just been stored, filled into a template; and its token.

Each submission is answered with some sixty fields, of which a new job knows twenty: to
build and encode all of them was a fifth of what a submission costs. The template is the
document that rendering.py makes of a job, so there is one place that says how a job looks.

Not here: jobs that have been read (rendering.py), headers (api/).
"""

import functools
import re
from typing import Any

import msgspec

from jobd.domain import jobs as domain
from jobd.domain.estimates import Estimate
from jobd.domain.statuses import Status
from jobd.wire.rendering import render_detail
from jobd.wire.times import from_ms

_encode = msgspec.json.Encoder().encode

_HOLE = re.compile(r"%\((\w+)\)")

_OWN = (
    *("metadata", "created_at", "updated_at", "run_at"),
    *("estimated_completion_time", "suggested_next_poll_time"),
    *("args", "principal", "retention_seconds", "start_before", "callback_url", "trace_id"),
    "request_id",
)
"""What is each job's own, in the document's order; so is the id, which stands in URLs too."""


def render_created(
    new: domain.NewJob,
    now_ms: int,
    *,
    poll_s: int,
    estimate: Estimate,
    waiting_for: str,
    public_url: str = "",
    job_token: str | None = None,
) -> bytes:
    """Return the bytes of the whole document of a job that has just been stored.

    They are what encoding its `render_detail` gives, or with a token a JobCreated; its place
    in the queue is not told.
    `poll_s` is when asking again is worth it (`new_retry_after_s`).
    """
    job_id, ends_in_s, traceparent = new.job_id, estimate.ends_in_s, new.traceparent
    created_at = _time(new.created_at_ms)
    document = _pieces(
        new.kind,
        new.queue,
        new.run_at_ms is not None,
        new.priority,
        new.max_attempts,
        estimate.duration_s,
        new.timeout_ms,
        waiting_for,
        public_url,
    ).copy()
    document[1::2] = (
        job_id,
        job_id,  # in poll_url
        job_id,  # in events_url
        job_id,  # in cancel_url
        _encode(new.metadata).decode() if new.metadata else "{}",
        created_at,
        created_at,
        "null" if new.run_at_ms is None else _time(new.run_at_ms),
        "null" if ends_in_s is None else _time(now_ms + round(ends_in_s * 1000)),
        _time(now_ms + poll_s * 1000),
        new.args.decode(),
        _text(new.principal),
        str(new.retention_ms // 1000),
        "null" if new.start_before_ms is None else _time(new.start_before_ms),
        "null" if new.callback_url is None else _encode(new.callback_url).decode(),
        "null" if traceparent is None else f'"{traceparent.split("-")[1]}"',
        "null" if new.request_id is None else _encode(new.request_id).decode(),
        job_id,  # in logs_url
        job_id,  # in artifacts_url
    )
    if job_token is not None:
        document += (',"job_token":"', job_token, '"')
    document.append("}")
    return "".join(document).encode()


def with_token(document: bytes, token: str) -> bytes:
    """Return the bytes of a JobDetail as those of the JobCreated that has this token."""
    return b'%b,"job_token":"%b"}' % (document[:-1], token.encode())


@functools.lru_cache(maxsize=1024)
def _time(ms: int) -> str:
    second, ms = divmod(ms, 1000)
    return f'{_second(second)}.{ms:03}000Z"' if ms else f'{_second(second)}Z"'


@functools.lru_cache(maxsize=256)
def _text(text: str) -> str:
    return _encode(text).decode()


@functools.lru_cache(maxsize=256)
def _second(second: int) -> str:
    """Return the timestamp of a whole second, without its zone and its end."""
    return _encode(from_ms(second * 1000)).decode().removesuffix('Z"')


@functools.lru_cache(maxsize=256)
def _pieces(  # noqa: PLR0913, PLR0917 - each is part of the key
    kind: str,
    queue: str,
    scheduled: bool,  # noqa: FBT001 - by position, as it is part of a key
    priority: int,
    max_attempts: int,
    duration_s: float | None,
    timeout_ms: int,
    waiting_for: str,
    public_url: str,
) -> list[str]:
    """Return the document that such jobs have in common, an empty piece for each hole in it.

    Its last brace is missing.
    """
    job = domain.Job(
        seq=0,
        job_id="%(job_id)",
        principal="",
        kind=kind,
        queue=queue,
        lane="cpu",
        priority=priority,
        status=Status.SCHEDULED if scheduled else Status.QUEUED,
        metadata={},
        created_at_ms=0,
        updated_at_ms=0,
        run_at_ms=None,
        started_at_ms=None,
        finished_at_ms=None,
        expires_at_ms=None,
        start_before_ms=None,
        attempt=0,
        failures=0,
        crashes=0,
        interrupted=0,
        released=0,
        snoozes=0,
        max_attempts=max_attempts,
        timeout_ms=timeout_ms,
        retention_ms=0,
        cancel_requested=False,
        partial=False,
        retry_of=None,
        retried_as=None,
        event_id=0,
        inputs=domain.Inputs(b"null", {}, None),
    )
    document = render_detail(
        job,
        0,
        inline_result_bytes=0,
        estimate=Estimate(duration_s),
        waiting_for=waiting_for,
        public_url=public_url,
    )
    holes: dict[str, Any] = {name: msgspec.Raw(f"%({name})".encode()) for name in _OWN}
    whole = _encode(msgspec.json.decode(_encode(document)) | holes).decode()
    return _HOLE.split(whole.removesuffix("}"))
