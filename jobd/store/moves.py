"""Moves that no attempt makes: cancel, promote, recover.

Not here: enqueue and settle (jobs.py), claim (claims.py), deadlines (deadlines.py); ending
a running attempt (pool/), the timer behind promote (engine/scheduler.py).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.errors import JobdError, NotFound
from jobd.domain.events import Event, status_event
from jobd.domain.jobs import Cancelled, Recovered
from jobd.domain.outcomes import MAX_INTERRUPTED, interrupted_too_often, was_cancelled
from jobd.domain.statuses import TERMINAL, Status
from jobd.store import batches, deadlines, results
from jobd.store.queries import load
from jobd.store.transaction import Transaction

PROMOTED_AT_ONCE = 500
"""Due jobs in one transaction; more would hold up the writer."""

_SQL = load("moves.sql")


class Promoted(msgspec.Struct, frozen=True):
    """When there is more to do, by the wall clock."""

    due_ms: int | None
    """When a job is due; not later than now if more is due already, None if none will be."""
    deadline_ms: int | None
    """When the first of those that were queued will be overdue."""


def cancel(tx: Transaction, job_ids: Sequence[str]) -> list[Cancelled | JobdError]:
    """Cancel jobs that wait, mark those that run.

    Answers in order: Cancelled (with the lease to end if the job runs; `already_done` if
    it was over before), or NotFound.
    """
    found = {row[0]: _Found(*row) for row in tx.rows(_SQL["asked"], job_ids=tx.array(job_ids))}
    asked = [(one, tx.next_event_id()) for one in dict.fromkeys(job_ids) if one in found]
    changed: dict[str, Status] = {}
    kept: list[results.Kept] = []
    for event_id, seq, job_id, word, attempt, expires_at, mask in sorted(
        tx.rows(_SQL["cancel"], asked=tx.array(asked), now=tx.now_ms)
    ):
        old, status = found[job_id], Status(word)
        changed[job_id] = status
        tx.tally.moved(old.principal, old.lane, old.queue, Status(old.status), status)
        data: dict[str, Any] = {}
        type_ = "job.cancel_requested"
        if status is Status.CANCELLED:
            type_ = status_event(Status.CANCELLED)
            error = was_cancelled(attempt)
            kept.append(results.Kept(seq, error))
            data = {"expires_at_ms": expires_at, "error": msgspec.to_builtins(error)}
        tx.happened(Event(event_id, seq, job_id, type_, tx.now_ms, attempt, data), mask)
    results.keep(tx, kept)
    results.drop(tx, ended=(), terminal=[one.seq for one in kept])
    return [_cancelled(job_id, found, changed) for job_id in job_ids]


class _Found(NamedTuple):
    """A job that is to be cancelled, as it was before, in the order of the statement `asked`."""

    job_id: str
    seq: int
    status: str
    token: str | None
    principal: str
    lane: Lane
    queue: str


def _cancelled(
    job_id: str, found: Mapping[str, _Found], changed: Mapping[str, Status]
) -> Cancelled | JobdError:
    if job_id not in found:
        return NotFound("job_not_found", f"There is no job {job_id}.")
    one = found[job_id]
    old = Status(one.status)
    status = changed.get(job_id, old)
    return Cancelled(job_id, one.seq, status, already_done=old in TERMINAL, token=one.token)


class _Due(NamedTuple):
    """A job whose time has come, in the order of the statement `due`."""

    seq: int
    status: str
    created_at: int
    start_before: int | None
    attempt: int

    @property
    def times(self) -> dict[str, Any]:
        """What its deadlines go by."""
        return {
            "created_at": self.created_at,
            "start_before": self.start_before,
            "attempt": self.attempt,
        }


def promote(tx: Transaction) -> Promoted:
    """Queue what is due, some at a time; what is overdue by then is failed instead."""
    due: list[_Due] = []
    doomed: list[deadlines.Doomed] = []
    for one in (_Due(*row) for row in tx.rows(_SQL["due"], now=tx.now_ms, limit=PROMOTED_AT_ONCE)):
        code = deadlines.doom(tx, **one.times)
        if code is None:
            due.append(one)
        else:
            doomed.append(deadlines.Doomed(one.seq, code, Status(one.status)))
    deadlines.fail(tx, doomed)
    _queue(tx, due)
    ((next_at,),) = tx.rows(_SQL["next_due"])
    ends = [deadlines.end_ms(tx, **one.times) for one in due]
    return Promoted(next_at, min(ends, default=None))


def _queue(tx: Transaction, due: Sequence[_Due]) -> None:
    if not due:
        return
    old = {one.seq: Status(one.status) for one in due}
    asked = [(seq, tx.next_event_id()) for seq in old]
    rows = tx.rows(_SQL["promote"], due=tx.array(asked), now=tx.now_ms)
    for event_id, seq, job_id, principal, attempt, lane, queue, mask in sorted(rows):
        tx.ready.add(lane, queue)
        tx.tally.moved(principal, lane, queue, old[seq], Status.QUEUED)
        type_ = status_event(Status.QUEUED)
        tx.happened(Event(event_id, seq, job_id, type_, tx.now_ms, attempt), mask)


def recover(tx: Transaction) -> Recovered:
    """Void the leases of older starts; call only when their workers are dead.

    Whether such an attempt had begun is unknown, so it keeps its number and counts as an
    interruption, which is charged to nobody.
    """
    orphans = [
        (seq, tx.next_event_id()) for (seq,) in tx.rows(_SQL["orphans"], instance=tx.instance)
    ]
    rows = tx.rows(_SQL["recover"], orphans=tx.array(orphans), now=tx.now_ms, most=MAX_INTERRUPTED)
    kept: list[results.Kept] = []
    for row in sorted(rows):
        event_id, seq, job_id, word, attempt, principal, lane, queue, interrupted, *rest = row
        expires_at, mask = rest
        status = Status(word)
        tx.tally.moved(principal, lane, queue, Status.PROCESSING, status)
        tx.ready.freed(queue)
        data: dict[str, Any] = {"interrupted": interrupted, "evidence": {"outcome": "interrupted"}}
        if status is Status.QUEUED:
            tx.ready.add(lane, queue)
        else:
            cancelled = status is Status.CANCELLED
            error = was_cancelled(attempt) if cancelled else interrupted_too_often(attempt)
            kept.append(results.Kept(seq, error))
            data |= {"expires_at_ms": expires_at, "error": msgspec.to_builtins(error)}
        type_ = status_event(status)
        tx.happened(Event(event_id, seq, job_id, type_, tx.now_ms, attempt, data), mask)
    results.keep(tx, kept)
    seqs = [row[1] for row in rows]
    results.drop(tx, ended=seqs, terminal=[one.seq for one in kept])
    batches.recover(tx)
    counts = Counter(row[3] for row in rows)
    return Recovered(
        requeued=counts[Status.QUEUED],
        cancelled=counts[Status.CANCELLED],
        failed=counts[Status.FAILED],
    )
