"""A batch while it is being taken, and what becomes of its lines.

Not here: its writing (batches.py), the form of a line (api/batches.py).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from jobd.domain.batches import (
    MAX_ERRORS,
    MAX_JOB_IDS,
    LineError,
    Report,
    field_error,
    line_errors,
)
from jobd.domain.errors import Conflict, Invalid, JobdError, TooLarge
from jobd.domain.jobs import NewJob, Submitted
from jobd.wire.batches import BatchLine

JOBS_AT_ONCE = 500
"""Jobs in one transaction; more would hold up the writer."""

BYTES_AT_ONCE = 4 * 1024 * 1024
"""Of args in one transaction, or one job's."""

WHOLE_LINES = 1000
"""Lines of a batch that is written whole or not at all: it is one transaction."""

_NOT_NOW = frozenset({"quota_exceeded", "queue_full"})


class Lines:
    """What became of the lines of a batch, in whatever order that becomes known."""

    def __init__(self) -> None:
        self.total = 0
        self.accepted = 0
        self.replayed = 0
        self.errors: list[LineError] = []
        self._job_ids: dict[int, str] = {}
        self._refusals: dict[str, JobdError] = {}

    def add(self) -> int:
        """Count a line and return its index."""
        self.total += 1
        return self.total - 1

    def note(self, index: int, line: int, answer: Submitted | JobdError) -> None:
        """Note what the store has answered to a line."""
        if isinstance(answer, JobdError):
            self.reject(line, answer)
        else:
            self.accept(index, answer.job_id)
            self.replayed += answer.replayed

    def accept(self, index: int, job_id: str) -> None:
        """Note the job of a line."""
        self.accepted += 1
        if index < MAX_JOB_IDS:
            self._job_ids[index] = job_id

    def reject(self, line: int, error: JobdError) -> None:
        """Note why there is no job of a line."""
        self._refusals.setdefault(error.code, error)
        if len(self.errors) < MAX_ERRORS:
            self.errors += line_errors(line, error)[: MAX_ERRORS - len(self.errors)]

    def report(self, total: int | None = None) -> Report:
        """Return all of it, of the first `total` lines if that is given."""
        total = self.total if total is None else total
        job_ids = [self._job_ids.get(index) for index in range(min(total, MAX_JOB_IDS))]
        errors = sorted(self.errors, key=lambda error: error.line)
        return Report(total, self.accepted, self.replayed, job_ids, errors)

    def refusal(self, detail: str) -> JobdError:
        """Return what to refuse the whole batch with.

        That is what its lines were refused with, if the same batch may be taken later.
        """
        if len(self._refusals) == 1 and self._refusals.keys() <= _NOT_NOW:
            return next(iter(self._refusals.values()))
        errors = tuple(field_error(e) for e in sorted(self.errors, key=lambda e: e.line))
        return Invalid("batch_rejected", detail, errors=errors)


class Some(NamedTuple):
    """Jobs to be written in one transaction, with their lines."""

    jobs: list[NewJob]
    lines: list[int]
    written: int
    """Lines of the batch that are then behind it."""

    @property
    def plain(self) -> bool:
        """Whether none of them has a key, a time, a callback or an upload."""
        return all(map(_is_plain, self.jobs))


class Resolve(NamedTuple):
    """How lines are checked; both raise JobdError."""

    first: Callable[[BatchLine, int], NewJob]
    """Makes the job of a line; the number is its index."""
    like: Callable[[NewJob, BatchLine, int], NewJob]
    """Makes that of a line which asks for the same as another one, but for args and metadata."""


class Taking:
    """A batch whose lines come one by one.

    Most lines differ in their args alone; what else they ask for is then looked at once.
    """

    def __init__(
        self, resolve: Resolve, *, max_lines: int, whole: bool = False, principal: str = ""
    ) -> None:
        self.principal = principal
        self.received_bytes = 0
        """Of its lines, blank ones left out; who receives them counts them."""
        self._resolve = resolve
        self._likes: dict[tuple[Any, ...], NewJob] = {}
        self._max_lines = max_lines
        self.whole = whole
        self.lines = Lines()
        self.held_bytes = 0
        self._jobs: list[NewJob] = []
        self._at: list[int] = []

    @property
    def retention_ms(self) -> int:
        """How long the job is kept that is kept longest."""
        return max((job.retention_ms for job in self._jobs), default=0)

    def take(self, line: int, asked: BatchLine) -> None:
        """Take a line; raises TooLarge or Invalid if there are too many."""
        index = self._count()
        try:
            job = self._job(asked, index)
        except JobdError as error:
            self.lines.reject(line, error)
            return
        self._jobs.append(job)
        self._at.append(line)
        self.held_bytes += len(job.args)
        if self.whole and self.held_bytes > BYTES_AT_ONCE:
            detail = f"With atomic the args of a batch may have {BYTES_AT_ONCE} bytes at most."
            raise Invalid("batch_rejected", detail)

    def reject(self, line: int, error: JobdError) -> None:
        """Take a line that asks for no job; raises as `take`."""
        self._count()
        self.lines.reject(line, error)

    def _job(self, asked: BatchLine, index: int) -> NewJob:
        if not _asks_plainly(asked):
            return self._resolve.first(asked, index)
        options = (
            asked.kind,
            asked.queue,
            asked.priority,
            asked.timeout_seconds,
            asked.max_attempts,
            asked.retention_seconds,
        )
        like = self._likes.get(options)
        if like is not None:
            return self._resolve.like(like, asked, index)
        job = self._likes[options] = self._resolve.first(asked, index)
        return job

    def _count(self) -> int:
        index = self.lines.add()
        if index >= self._max_lines:
            detail = f"A batch may have {self._max_lines} lines at most."
            raise TooLarge("body_too_large", detail)
        if self.whole and self.lines.total > WHOLE_LINES:
            detail = f"With atomic a batch may have {WHOLE_LINES} lines at most."
            raise Invalid("batch_rejected", detail)
        return index

    def refuse(self) -> None:
        """Raise what the batch is refused with, if nothing of it may be written."""
        if not self.lines.total:
            raise Invalid("batch_rejected", "The batch has no line.")
        if not self._jobs:
            raise self.lines.refusal("Every line of the batch was rejected.")
        if self.whole and self.lines.errors:
            raise self.lines.refusal("A line was rejected, so none is queued.")

    def parts(self, written: int, there: Mapping[int, str]) -> Iterator[Some]:
        """Yield what is to be written, some at a time.

        Of the first `written` lines the jobs that are there are known by their index. What
        is missing of them has been refused, or had a key and is asked for again.
        """
        for index, job_id in there.items():
            self.lines.accept(index, job_id)
        some, held = Some([], [], 0), 0
        at_once = WHOLE_LINES if self.whole else JOBS_AT_ONCE
        for job, line in zip(self._jobs, self._at, strict=True):
            index = job.batch_index or 0
            if index in there:
                continue
            if index < written and job.idempotency is None:
                self.lines.reject(line, _refused_before())
                continue
            full = len(some.jobs) >= at_once or held + len(job.args) > BYTES_AT_ONCE
            if some.jobs and full and not self.whole:
                yield some._replace(written=max(written, index))
                some, held = Some([], [], 0), 0
            some.jobs.append(job)
            some.lines.append(line)
            held += len(job.args)
        if some.jobs:
            yield some._replace(written=self.lines.total)


def _asks_plainly(asked: BatchLine) -> bool:
    return (
        asked.idempotency_key is None
        and asked.run_at is None
        and asked.start_before is None
        and asked.callback_url is None
        and asked.callback_events is None
    )


def _is_plain(job: NewJob) -> bool:
    return not (
        job.idempotency is not None
        or job.run_at_ms is not None
        or job.start_before_ms is not None
        or job.callback_url
        or job.files
    )


def _refused_before() -> JobdError:
    detail = "It was refused when the batch was sent before, or its job has been deleted since."
    return Conflict("outcome_unknown", detail)
