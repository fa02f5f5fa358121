"""What a caller can ask for: submit, cancel, retry, delete, uploads. All writes of the API.

A submission is resolved against its handler's options, checked, stored; the answer is
given after the commit. Not here: HTTP (api/), what happens to a job afterwards
(dispatcher.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from jobd.config import Config
from jobd.domain.catalog import HandlerSpec, Lane
from jobd.domain.clock import Clock
from jobd.domain.errors import Conflict, FieldError, Invalid, NotFound, TooLarge, pointer
from jobd.domain.events import CALLBACK_TYPES, TERMINAL_TYPES
from jobd.domain.ids import IdSource
from jobd.domain.jobs import IdempotencyKey, Inputs, Job, JobFilter, NewJob, Upload
from jobd.domain.statuses import Status
from jobd.engine.inputs import named_files
from jobd.engine.kinds import Kinds
from jobd.engine.queues import Queues
from jobd.engine.uploads import Uploads
from jobd.engine.written import reading_back
from jobd.files.layout import Layout
from jobd.files.remove import remove_job
from jobd.files.uploads import Received
from jobd.store.readers import Readers
from jobd.store.rules import rules_of
from jobd.store.writer import Writer

_encode = msgspec.json.Encoder().encode


class Submission(msgspec.Struct, frozen=True):
    """A request to run a job; None means the handler's or the configured default."""

    principal: str
    kind: str
    args: dict[str, Any]
    queue: str | None = None
    priority: int = 5
    run_at_ms: int | None = None
    start_before_ms: int | None = None
    timeout_s: float | None = None
    max_attempts: int | None = None
    retention_s: int | None = None
    metadata: dict[str, str] = {}
    traceparent: str | None = None
    callback_url: str | None = None
    callback_events: tuple[str, ...] | None = None
    """Types of events; None means the terminal ones."""
    idempotency: IdempotencyKey | None = None


class Accepted(msgspec.Struct, frozen=True):
    """A durable submission: what was stored, or the job of an earlier one with its key."""

    new: NewJob
    seq: int
    event_id: int
    """Of the newest event of the job, when it was stored or found."""
    earlier: Job | None = None
    """The job of that submission; then nothing was stored."""
    may_start_now: bool = False
    """Whether a slot was idle for it."""

    @property
    def replayed(self) -> bool:
        """Whether the idempotency key named a job already."""
        return self.earlier is not None

    @property
    def job(self) -> Job:
        """The job as it stood when it was stored or found; made anew each time."""
        return self.earlier or _as_stored(self.new, self.seq, self.event_id)


class Running(Protocol):
    """The attempts under way, as far as commands need to know them (the dispatcher)."""

    def free_slots(self) -> Mapping[Lane, int]:
        """Jobs that could start now, by lane."""

    def cancel(self, token: str) -> Awaitable[None]:
        """Begin to end the attempt that holds this lease; wait if it is over, to be settled."""

    def paused(self, queue: str) -> None:
        """Give back what is claimed of the queue and has no worker yet."""


class Commands:
    """The verbs of the API."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        *,
        kinds: Kinds,
        writer: Writer,
        readers: Readers,
        running: Running,
        layout: Layout,
        check_callback: Callable[[str], object],
    ) -> None:
        """Use `check_callback` on the URL of every callback; it raises Invalid."""
        self._config = config
        self._clock = clock
        self._kinds = kinds
        self._writer = writer
        self._readers = readers
        self._running = running
        self._layout = layout
        self._check_callback = check_callback
        self._uploads = Uploads(writer, layout, clock)
        self.queues = Queues(
            writer,
            readers,
            running,
            limits=rules_of(config).concurrency,
            defaults=lambda: kinds.queues,
        )
        self._new_id: Callable[[str, int], str] = IdSource().next

    async def submit(self, submission: Submission, *, look_for_slot: bool = True) -> Accepted:
        """Store a job, or find the one its idempotency key names; durable on return.

        Raises Invalid (`unknown_kind`, `validation_error`, `idempotency_key_reused`,
        `callback_url_forbidden`), TooLarge, Unavailable, Gone (the key's job has expired),
        OutcomeUnknown and StorageFull. A caller that is cancelled may have submitted.
        `may_start_now` is only found out if the caller wants to know (`look_for_slot`).
        """
        if self._kinds.catalog is None:
            await self._kinds.loaded()
        spec = self._kinds.spec(submission.kind)
        new = self._resolve(submission, spec)
        if new.start_before_ms is not None:
            await self._check_start_before(new, new.start_before_ms)
        may_start = look_for_slot and new.run_at_ms is None and self._idle(new.lane, new.queue)
        submitted = await self._writer.submit(new)
        if submitted.replayed:
            job = await self._read(submitted.job_id)
            return Accepted(new, job.seq, job.event_id, job)
        return Accepted(new, submitted.seq, submitted.event_id, may_start_now=may_start)

    def _idle(self, lane: Lane, queue: str) -> bool:
        return self._running.free_slots().get(lane, 0) > 0 and not self._writer.is_aside(queue)

    async def cancel(self, job_id: str) -> tuple[Job, bool]:
        """Cancel a job: at once if it is not running, else begin to end its attempt.

        Returns the job after that, and True if it is still running. Cancelling a
        cancelled job changes nothing. Raises NotFound, or Conflict when the job has
        completed or failed.
        """
        cancelled = await self._writer.cancel(job_id)
        if cancelled.already_done and cancelled.status is not Status.CANCELLED:
            raise Conflict(
                "job_already_finished", f"The job is {cancelled.status} and stays that way."
            )
        if cancelled.token is not None:
            await self._running.cancel(cancelled.token)
        job = await self._read(job_id)
        return job, not job.done

    async def retry(self, job_id: str) -> Job:
        """Queue a new job with the inputs and options of one that failed or was cancelled.

        Raises NotFound, or Conflict (`job_active`, `job_completed`, `job_already_retried`,
        `input_missing`).
        """
        new_id = self._new_id("job_", self._clock.wall_ms())
        submitted = await self._writer.retry(job_id, new_id)
        return await self._read(submitted.job_id)

    async def delete(self, job_id: str) -> None:
        """Delete a job that is over, with its artifacts and logs.

        Raises NotFound, or Conflict (`job_active`). A caller that is cancelled after the
        commit leaves files that nothing names.
        """
        await self._writer.delete(job_id)
        await asyncio.to_thread(remove_job, self._layout, job_id)

    @property
    def uploads(self) -> Uploads:
        """The turns that uploads take, for who removes files on their own (retention, sweep)."""
        return self._uploads

    async def add_upload(self, principal: str, received: Received) -> Upload:
        """Make a received file an upload of the principal, who alone may name it in args.

        Raises StorageFull, Unavailable or OutcomeUnknown. Takes the received file over.
        """
        return await self._uploads.add(principal, received)

    async def remove_upload(self, file_id: str, principal: str) -> None:
        """Remove an upload; the file goes when no other principal has sent it too.

        Raises NotFound, or Conflict (`upload_in_use`, by a job that is not done).
        """
        await self._uploads.remove(file_id, principal)

    async def _read(self, job_id: str) -> Job:
        """Return a job as it is after what was just written about it."""
        with reading_back():
            job = await self._readers.get(job_id, detail=True)
        if job is None:
            raise NotFound("job_not_found", f"There is no job {job_id}.")
        return job

    def _resolve(self, submission: Submission, spec: HandlerSpec) -> NewJob:
        checked = self._kinds.checked(spec, submission.args)
        args = _encode(checked)
        limit = self._config.limits.args_bytes
        if len(args) > limit:
            raise TooLarge("args_too_large", f"The args have {len(args)} bytes; {limit} are taken.")
        now_ms = self._clock.wall_ms()
        return NewJob(
            job_id=self._new_id("job_", now_ms),
            principal=submission.principal,
            kind=spec.kind,
            queue=submission.queue or spec.queue,
            lane=spec.lane,
            priority=submission.priority,
            created_at_ms=now_ms,
            run_at_ms=self._run_at_ms(submission, now_ms),
            start_before_ms=submission.start_before_ms,
            timeout_ms=self._timeout_ms(submission, spec),
            max_attempts=(
                submission.max_attempts or spec.max_attempts or self._config.jobs.max_attempts
            ),
            retention_ms=self._retention_ms(submission),
            args=args,
            metadata=submission.metadata,
            traceparent=submission.traceparent,
            callback_url=submission.callback_url,
            callback_events=self._callback_events(submission),
            files=named_files(checked, args),
            idempotency=submission.idempotency,
        )

    def _run_at_ms(self, submission: Submission, now_ms: int) -> int | None:
        run_at_ms, max_age_s = submission.run_at_ms, self._config.jobs.max_age_s
        if run_at_ms is None or run_at_ms <= now_ms:
            return None
        if run_at_ms >= now_ms + max_age_s * 1000:
            detail = f"A job has {max_age_s:.0f} s to end in (jobs.max_age_s); that would be later"
            raise _breaks_a_rule(detail, "run_at")
        return run_at_ms

    async def _check_start_before(self, new: NewJob, start_before_ms: int) -> None:
        """Raise Invalid if the job could not begin in time, unless it is an older one's replay."""
        if start_before_ms > (new.run_at_ms or new.created_at_ms):
            return
        if new.idempotency is not None and await self._readers.list(
            JobFilter(idempotency_key=new.idempotency.key, principal=new.principal, limit=1)
        ):
            return
        raise _breaks_a_rule("It must come after run_at, and after now", "start_before")

    def _callback_events(self, submission: Submission) -> tuple[str, ...]:
        if submission.callback_url is None:
            return ()
        self._check_callback(submission.callback_url)
        if submission.callback_events is None:
            return tuple(TERMINAL_TYPES)
        errors = tuple(
            FieldError(
                f"Expected one of {', '.join(CALLBACK_TYPES)}",
                pointer=pointer(["callback_events", index]),
            )
            for index, type_ in enumerate(submission.callback_events)
            if type_ not in CALLBACK_TYPES
        )
        if errors:
            detail = "A callback cannot be told of that."
            raise Invalid("validation_error", detail, errors=errors)
        return submission.callback_events

    def _timeout_ms(self, submission: Submission, spec: HandlerSpec) -> int:
        """Return the limit of an attempt; a caller may only lower what the handler allows."""
        jobs = self._config.jobs
        allowed_s = min(spec.timeout_s or jobs.timeout_s, jobs.max_timeout_s)
        if submission.timeout_s is not None:
            allowed_s = min(submission.timeout_s, allowed_s)
        return round(allowed_s * 1000) or 1

    def _retention_ms(self, submission: Submission) -> int:
        retention = self._config.retention
        if submission.retention_s is None:
            return retention.default_s * 1000
        if submission.retention_s > retention.max_s:
            detail = f"retention_seconds may be at most {retention.max_s}"
            raise _breaks_a_rule(detail, "retention_seconds")
        return submission.retention_s * 1000


def _breaks_a_rule(detail: str, field: str) -> Invalid:
    error = FieldError(detail, pointer=pointer([field]))
    return Invalid("validation_error", "The job breaks a rule.", errors=(error,))


def _as_stored(new: NewJob, seq: int, event_id: int) -> Job:
    """Return the job as it stands right after its insert, without reading it back."""
    return Job(
        seq=seq,
        job_id=new.job_id,
        principal=new.principal,
        kind=new.kind,
        queue=new.queue,
        lane=new.lane,
        priority=new.priority,
        status=Status.QUEUED if new.run_at_ms is None else Status.SCHEDULED,
        metadata=new.metadata,
        created_at_ms=new.created_at_ms,
        updated_at_ms=new.created_at_ms,
        run_at_ms=new.run_at_ms,
        started_at_ms=None,
        finished_at_ms=None,
        expires_at_ms=None,
        start_before_ms=new.start_before_ms,
        attempt=0,
        failures=0,
        crashes=0,
        interrupted=0,
        released=0,
        snoozes=0,
        max_attempts=new.max_attempts,
        timeout_ms=new.timeout_ms,
        retention_ms=new.retention_ms,
        cancel_requested=False,
        partial=False,
        retry_of=None,
        retried_as=None,
        event_id=event_id,
        inputs=Inputs(new.args, new.metadata, new.traceparent, new.callback_url),
    )
