"""Moves that no attempt makes: cancel, promote, recover.

Not here: enqueue and settle (jobs.py), claim (claims.py); ending a running attempt
(pool/), the timer behind promote (engine/scheduler.py).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from jobd.domain.errors import JobdError, NotFound
from jobd.domain.events import Event, status_event
from jobd.domain.jobs import Cancelled, Recovered
from jobd.domain.outcomes import MAX_INTERRUPTED, interrupted_too_often, was_cancelled
from jobd.domain.statuses import TERMINAL, Status
from jobd.store import results
from jobd.store.queries import load
from jobd.store.transaction import Transaction

PROMOTED_AT_ONCE = 500
"""Due jobs in one transaction; more would hold up the writer."""

_SQL = load("moves.sql")


def cancel(tx: Transaction, job_ids: Sequence[str]) -> list[Cancelled | JobdError]:
    """Cancel jobs that wait, mark those that run.

    Answers in order: Cancelled (with the lease to end if the job runs; `already_done` if
    it was over before), or NotFound.
    """
    asked = [(job_id, tx.next_event_id()) for job_id in dict.fromkeys(job_ids)]
    changed: set[str] = set()
    kept: list[results.Kept] = []
    for event_id, seq, job_id, status, attempt, expires_at, mask in sorted(
        tx.rows(_SQL["cancel"], asked=tx.array(asked), now=tx.now_ms)
    ):
        changed.add(job_id)
        data: dict[str, Any] = {}
        type_ = "job.cancel_requested"
        if status == Status.CANCELLED:
            type_ = status_event(Status.CANCELLED)
            error = was_cancelled(attempt)
            kept.append(results.Kept(seq, error))
            data = {"expires_at_ms": expires_at, "error": msgspec.to_builtins(error)}
        tx.happened(Event(event_id, seq, job_id, type_, tx.now_ms, attempt, data), mask)
    results.keep(tx, kept)
    results.drop(tx, ended=(), terminal=[one.seq for one in kept])
    return _found(tx, job_ids, changed)


def _found(
    tx: Transaction, job_ids: Sequence[str], changed: set[str]
) -> list[Cancelled | JobdError]:
    rows = {row[0]: row for row in tx.rows(_SQL["cancelled"], job_ids=tx.array(job_ids))}
    answers: list[Cancelled | JobdError] = []
    for job_id in job_ids:
        if job_id not in rows:
            answers.append(NotFound("job_not_found", f"There is no job {job_id}."))
            continue
        _, seq, word, token = rows[job_id]
        status = Status(word)
        already_done = status in TERMINAL and job_id not in changed
        answers.append(Cancelled(job_id, seq, status, already_done=already_done, token=token))
    return answers


def promote(tx: Transaction) -> float | None:
    """Queue what is due; return the seconds to the next due job (0: at once), None if none."""
    rows = tx.rows(_SQL["due"], now=tx.now_ms, limit=PROMOTED_AT_ONCE)
    if rows:
        due = [(seq, tx.next_event_id()) for (seq,) in rows]
        promoted = tx.rows(_SQL["promote"], due=tx.array(due), now=tx.now_ms)
        for event_id, seq, job_id, attempt, lane, queue, mask in sorted(promoted):
            tx.ready.add(lane, queue)
            type_ = status_event(Status.QUEUED)
            tx.happened(Event(event_id, seq, job_id, type_, tx.now_ms, attempt), mask)
    ((next_at,),) = tx.rows(_SQL["next_due"])
    return None if next_at is None else max(0.0, (next_at - tx.now_ms) / 1000)


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
    for event_id, seq, job_id, word, attempt, lane, queue, interrupted, expires_at, mask in sorted(
        rows
    ):
        status = Status(word)
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
    counts = Counter(row[3] for row in rows)
    return Recovered(
        requeued=counts[Status.QUEUED],
        cancelled=counts[Status.CANCELLED],
        failed=counts[Status.FAILED],
    )
