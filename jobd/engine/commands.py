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
from jobd.domain.jobs import IdempotencyKey, Job, JobFilter, NewJob, Upload
from jobd.domain.statuses import Status
from jobd.engine.batch_lines import Resolve, Taking
from jobd.engine.batches import Batches
from jobd.engine.inputs import named_files
from jobd.engine.kinds import Kinds
from jobd.engine.queues import Queues
from jobd.engine.stored import as_stored
from jobd.engine.uploads import Uploads
from jobd.engine.written import reading_back
from jobd.files.layout import Layout
from jobd.files.remove import remove_job
from jobd.files.uploads import Received
from jobd.store.readers import Readers
from jobd.store.rules import rules_of
from jobd.store.writer import Writer

__all__ = ["Accepted", "Commands", "Resolve", "Running", "Submission", "Taking"]

_encode = msgspec.json.Encoder().encode

_TOO_EARLY = "It must come after run_at, and after now"


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
    may_raise_timeout: bool = False
    """Whether it may be longer than the handler's."""
    max_attempts: int | None = None
    retention_s: int | None = None
    metadata: dict[str, str] = {}
    traceparent: str | None = None
    callback_url: str | None = None
    callback_events: tuple[str, ...] | None = None
    """Types of events; None means the terminal ones."""
    idempotency: IdempotencyKey | None = None
    batch_index: int | None = None
    """Which line of a batch it is, from 0."""
    request_id: str | None = None
    """What the caller called its request, if it did."""


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
        return self.earlier or as_stored(self.new, self.seq, self.event_id)


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
        self.batches = Batches(
            config,
            clock,
            writer=writer,
            batches=readers.batches,
            end=running.cancel,
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
        checked, args = self._checked_args(spec, submission.args)
        now_ms = self._clock.wall_ms()
        return NewJob(  # by position, at a fifth of the cost
            self._new_id("job_", now_ms),
            submission.principal,
            spec.kind,
            submission.queue or spec.queue,
            spec.lane,
            submission.priority,
            now_ms,
            self._run_at_ms(submission, now_ms),
            self._timeout_ms(submission, spec),
            submission.max_attempts or spec.max_attempts or self._config.jobs.max_attempts,
            self._retention_ms(submission),
            args,
            submission.metadata,
            submission.traceparent,
            submission.start_before_ms,
            submission.callback_url,
            self._callback_events(submission),
            named_files(checked, args),
            None,
            submission.idempotency,
            submission.batch_index,
            submission.request_id,
        )

    def _checked_args(self, spec: HandlerSpec, asked: dict[str, Any]) -> tuple[Any, bytes]:
        checked = self._kinds.checked(spec, asked)
        args = _encode(checked)
        if len(args) > self._config.limits.args_bytes:
            raise self._too_large(args)
        return checked, args

    def _too_large(self, args: bytes) -> TooLarge:
        limit = self._config.limits.args_bytes
        detail = f"The args have {len(args)} bytes; {limit} are taken."
        return TooLarge("args_too_large", detail)

    def check_size(self, asked: dict[str, Any]) -> None:
        """Raise TooLarge (`args_too_large`) for args that are too large before they are checked.

        A check of a megabyte takes a while, and what it changes makes no more than half of it.
        """
        args = _encode(asked)
        if len(args) > 2 * self._config.limits.args_bytes:
            raise self._too_large(args)

    def resolve_like(
        self, like: NewJob, args: dict[str, Any], metadata: dict[str, str], batch_index: int
    ) -> NewJob:
        """Return the job of a line that asks for the same as that of another, but for these.

        `like` has no key, no time of its own and no callback. Raises as `resolve_line`.
        """
        checked, encoded = self._checked_args(self._kinds.spec(like.kind), args)
        now_ms = self._clock.wall_ms()
        return NewJob(  # by position, at half the cost
            self._new_id("job_", now_ms),
            like.principal,
            like.kind,
            like.queue,
            like.lane,
            like.priority,
            now_ms,
            None,
            like.timeout_ms,
            like.max_attempts,
            like.retention_ms,
            encoded,
            metadata,
            like.traceparent,
            files=named_files(checked, encoded),
            batch_index=batch_index,
        )

    def resolve_line(self, submission: Submission) -> NewJob:
        """Return the job of a line of a batch; raises as `submit`, and stores nothing."""
        new = self._resolve(submission, self._kinds.spec(submission.kind))
        if new.start_before_ms is not None and _is_too_early(new, new.start_before_ms):
            raise _breaks_a_rule(_TOO_EARLY, "start_before")
        return new

    async def handlers_looked_up(self) -> None:
        """Wait for the first catalogue; raises Unavailable (`starting`) if it takes long."""
        if self._kinds.catalog is None:
            await self._kinds.loaded()
            if self._kinds.catalog is None:
                self._kinds.spec("")

    def check_callback(self, url: str) -> None:
        """Raise Invalid (`callback_url_forbidden`) unless the URL may be called back."""
        self._check_callback(url)

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
        if not _is_too_early(new, start_before_ms):
            return
        if new.idempotency is not None and await self._readers.list(
            JobFilter(idempotency_key=new.idempotency.key, principal=new.principal, limit=1)
        ):
            return
        raise _breaks_a_rule(_TOO_EARLY, "start_before")

    def _callback_events(self, submission: Submission) -> tuple[str, ...]:
        given = submission.callback_events
        if given is not None:
            _check_events(given)
        if submission.callback_url is None:
            return ()
        self._check_callback(submission.callback_url)
        return tuple(TERMINAL_TYPES) if given is None else given

    def _timeout_ms(self, submission: Submission, spec: HandlerSpec) -> int:
        """Return the limit of an attempt; few callers may raise what the handler allows."""
        jobs = self._config.jobs
        allowed_s = min(spec.timeout_s or jobs.timeout_s, jobs.max_timeout_s)
        if submission.timeout_s is not None:
            highest_s = jobs.max_timeout_s if submission.may_raise_timeout else allowed_s
            allowed_s = min(submission.timeout_s, highest_s)
        return round(allowed_s * 1000) or 1

    def _retention_ms(self, submission: Submission) -> int:
        retention = self._config.retention
        if submission.retention_s is None:
            return retention.default_s * 1000
        if submission.retention_s > retention.max_s:
            detail = f"retention_seconds may be at most {retention.max_s}"
            raise _breaks_a_rule(detail, "retention_seconds")
        return submission.retention_s * 1000


def _is_too_early(new: NewJob, start_before_ms: int) -> bool:
    return start_before_ms <= (new.run_at_ms or new.created_at_ms)


def _check_events(types: tuple[str, ...]) -> None:
    """Raise Invalid if a callback cannot be told of one of these events."""
    errors = tuple(
        FieldError(
            f"Expected one of {', '.join(CALLBACK_TYPES)}",
            pointer=pointer(["callback_events", index]),
        )
        for index, type_ in enumerate(types)
        if type_ not in CALLBACK_TYPES
    )
    if errors:
        raise Invalid("validation_error", "A callback cannot be told of that.", errors=errors)


def _breaks_a_rule(detail: str, field: str) -> Invalid:
    error = FieldError(detail, pointer=pointer([field]))
    return Invalid("validation_error", "The job breaks a rule.", errors=(error,))
