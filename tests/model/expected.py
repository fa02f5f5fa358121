"""What jobd is expected to do, as a plain dict of jobs: no SQL, no concurrency, no code of its.

Each method is one thing that may happen; `row` is how the job must then stand in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jobd.domain.backoff import delay_s
from jobd.domain.outcomes import (
    Bystander,
    CancelledByRequest,
    Completed,
    Crashed,
    Failed,
    HandlerUnavailable,
    Interrupted,
    NotStarted,
    Outcome,
    Refused,
    Snoozed,
)
from tests.model.world import BACKOFF, RANDOM, RULES, Row

if TYPE_CHECKING:
    from jobd.domain.catalog import Lane
    from jobd.domain.jobs import NewJob

WAITING = ("scheduled", "queued", "retrying")
TERMINAL = ("completed", "failed", "cancelled")
MAX_CRASHES = 3
MAX_INTERRUPTED = 5


@dataclass
class Expected:
    """One job."""

    seq: int
    new: NewJob
    created_at: int
    status: str
    lane: str
    run_at: int | None
    start_before: int | None
    parked: bool = False
    parked_at: int = 0
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    interrupted: int = 0
    released: int = 0
    snoozes: int = 0
    cancel_requested: bool = False
    token: str | None = None
    expires_at: int | None = None
    retried_as: str | None = None
    error: str | None = None
    result: str | None = None
    done: int | None = None
    checkpoint: bytes | None = None

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def order(self) -> tuple[int, int]:
        """Who is first in a queue."""
        return self.new.priority, self.seq

    def row(self) -> Row:
        """Return how it must stand in the file."""
        return Row(
            self.seq,
            self.status,
            self.lane,
            self.parked,
            self.attempt,
            self.failures,
            self.crashes,
            self.interrupted,
            self.released,
            self.snoozes,
            self.cancel_requested,
            self.run_at,
            self.token,
            self.expires_at,
            self.retried_as,
            self.error,
            self.result,
            self.done,
            self.checkpoint,
        )

    def dooms(self, now: int, trusted: int) -> set[str]:
        """Return the deadlines that it has missed, if it waits."""
        missed = set()
        if self.created_at + RULES.max_age_ms <= trusted:
            missed.add("expired")
        if not self.attempt and self.start_before is not None and self.start_before <= now:
            missed.add("start_deadline")
        if self.parked and self.parked_at + RULES.handler_missing_ms <= trusted:
            missed.add("handler_missing")
        return missed if self.status in WAITING else set()

    def claimed(self, token: str) -> None:
        self.status, self.token = "processing", token
        self.attempt += 1

    def cancelled(self, now: int) -> None:
        """Be asked to end by somebody."""
        if self.status == "processing":
            self.cancel_requested = True
        elif self.status in WAITING:
            self.cancel_requested = True
            self.over("cancelled", now, error="cancelled")

    def over(self, status: str, now: int, *, error: str | None, result: str | None = None) -> None:
        """Reach a terminal status."""
        self._released(status)
        self.expires_at = now + self.new.retention_ms
        self.error, self.result, self.checkpoint = error, result, None

    def _released(self, status: str) -> None:
        self.status, self.token, self.done = status, None, None

    def _again(self, now: int, delay: float, error: str | None) -> None:
        self._released("retrying")
        due = now + round(delay * 1000)
        self.run_at = max(now, min(due, self.created_at + RULES.max_age_ms))
        self.error = error

    def ended(self, outcome: Outcome, now: int, *, cancel_known: bool) -> None:
        """Have its attempt end; `cancel_known`: the cancel came before that."""
        again = replace(self)
        again._ended(outcome, now)  # noqa: SLF001 - of the same class
        stays = again.status in ("completed", "failed") or not self.cancel_requested
        if stays or isinstance(outcome, CancelledByRequest):
            self.__dict__.update(again.__dict__)
            return
        if not cancel_known:  # it was charged before the cancel was seen
            self.__dict__.update(
                {name: getattr(again, name) for name in COUNTERS} | {"attempt": again.attempt}
            )
        self.over("cancelled", now, error="cancelled")

    def _ended(self, outcome: Outcome, now: int) -> None:
        match outcome:
            case Completed(result=result):
                body = result.body.decode() if result and result.body else None
                self.over("completed", now, error=None, result=body)
            case Failed() | Crashed():
                self._charged(outcome, now)
            case Snoozed(in_s=in_s):
                self.snoozes += 1
                self._again(now, in_s, None)
            case CancelledByRequest():
                self.over("cancelled", now, error="cancelled")
            case Interrupted():
                self.interrupted_once(now)
            case NotStarted() | HandlerUnavailable():
                self.attempt -= 1
                self._released("queued")
            case Bystander():
                self.released += 1
                self._released("queued")
            case Refused(error=error):
                self.attempt -= 1
                self.over("failed", now, error=error.code)

    def _charged(self, outcome: Failed | Crashed, now: int) -> None:
        delay: float | None = None
        if isinstance(outcome, Failed):
            self.failures += 1
            code, final, delay = outcome.error.code, not outcome.error.retryable, outcome.retry_in_s
        else:
            self.crashes += 1
            code, final = "worker_crashed", self.crashes >= MAX_CRASHES
        charges = self.failures + self.crashes
        if final or charges >= self.new.max_attempts:
            self.over("failed", now, error=code)
            return
        self._again(
            now, delay_s(BACKOFF, charges, lambda: RANDOM) if delay is None else delay, code
        )

    def interrupted_once(self, now: int) -> None:
        """Have its attempt ended for no reason of its own."""
        self.interrupted += 1
        if self.interrupted > MAX_INTERRUPTED:
            self.over("failed", now, error="interrupted_too_often")
        else:
            self._released("queued")

    def orphaned(self, now: int) -> None:
        """Have its daemon killed."""
        if self.cancel_requested:
            self.interrupted += 1
            self.over("cancelled", now, error="cancelled")
        else:
            self.interrupted_once(now)


COUNTERS = ("failures", "crashes", "interrupted", "released", "snoozes")


@dataclass
class QueueRules:
    """How a queue was set by people."""

    paused: bool = False
    limit: int | None = None


@dataclass
class Key:
    """An idempotency key that was taken."""

    fingerprint: bytes
    seq: int
    expires_at: int


@dataclass
class Model:
    """All jobs, queues and keys."""

    jobs: dict[int, Expected] = field(default_factory=dict)
    queues: dict[str, QueueRules] = field(default_factory=dict)
    keys: dict[tuple[str, str], Key] = field(default_factory=dict)
    kinds: dict[str, Lane] = field(default_factory=dict)
    """The lane of each kind that can run."""

    def queue(self, name: str) -> QueueRules:
        limit = RULES.concurrency.get(name)
        return self.queues.setdefault(name, QueueRules(limit=limit))

    def room(self, name: str) -> float:
        """Return how many more jobs of a queue may start."""
        rules = self.queue(name)
        if rules.paused:
            return 0
        if rules.limit is None:
            return float("inf")
        running = sum(
            job.status == "processing" and job.new.queue == name for job in self.jobs.values()
        )
        return rules.limit - running

    def startable(self, lane: str, queue: str, now: int, trusted: int) -> list[Expected]:
        """Return the jobs of a lane's queue that could start, in the order in which they must."""
        return sorted(
            (
                job
                for job in self.jobs.values()
                if job.status == "queued"
                and (job.lane, job.new.queue) == (lane, queue)
                and self.kinds.get(job.new.kind) == lane
                and not job.parked
                and not job.dooms(now, trusted)
            ),
            key=lambda job: job.order,
        )

    def waiting(self, principal: str | None = None) -> int:
        """Count the jobs that neither run nor are over."""
        return sum(
            job.status in WAITING and principal in (None, job.new.principal)
            for job in self.jobs.values()
        )
