"""Where a job begins and where an attempt ends: enqueue and settle.

Settle is fenced: it changes a row only under the token of the attempt's own lease, and a
token settles once. Events, results and artifacts are written for rows that were changed,
never from the request alone.

Not here: claims (claims.py), other moves (moves.py), what an outcome means
(domain/outcomes.py).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from jobd.domain.errors import JobdError
from jobd.domain.events import Event, callback_mask, status_event
from jobd.domain.jobs import Artifact, NewJob, Settlement, Submitted
from jobd.domain.outcomes import was_cancelled
from jobd.domain.statuses import TERMINAL, Status
from jobd.store import admission, idempotency, results, uploads
from jobd.store.attempts import lease_lost
from jobd.store.queries import load
from jobd.store.transaction import Transaction

_SQL = load("jobs.sql")

_COUNTERS = {
    name: f"{name}_delta" for name in ("failures", "crashes", "interrupted", "released", "snoozes")
}


def enqueue(tx: Transaction, jobs: Sequence[NewJob]) -> list[Submitted | JobdError]:
    """Store each job, or find the one that its idempotency key names.

    Answers in order: Submitted, Invalid (`idempotency_key_reused`, or `validation_error`
    for an upload that is not the principal's), Gone (the key's job has been deleted),
    Unavailable (`queue_full`) or LimitReached (`quota_exceeded`). A job that was stored is
    found by its key also when its uploads are gone, or there is no room for more.
    """
    by_seq = {tx.next_seq(): job for job in jobs}
    answers: dict[int, Submitted | JobdError] = {}
    answers.update(uploads.missing(tx, by_seq))
    able = {seq: job for seq, job in by_seq.items() if seq not in answers}
    not_new = idempotency.take(tx, able) | answers.keys()
    new = {seq: job for seq, job in able.items() if seq not in not_new}
    refused = _refused(tx, new)
    answers.update(refused)
    answers.update(_insert(tx, {seq: job for seq, job in new.items() if seq not in refused}))
    answers.update(idempotency.replay(tx, {seq: by_seq[seq] for seq in not_new}))
    # their key was taken by one of this batch for which there is no room, so they have none
    keyless = {seq: job.principal for seq, job in able.items() if seq not in answers}
    answers.update(admission.refused(tx, keyless))
    return [answers[seq] for seq in by_seq]


def _refused(tx: Transaction, new: dict[int, NewJob]) -> dict[int, JobdError]:
    refused = admission.refused(tx, {seq: job.principal for seq, job in new.items()})
    if refused:
        idempotency.give_back(tx, {seq: new[seq] for seq in refused})
    return refused


def _insert(tx: Transaction, jobs: dict[int, NewJob]) -> dict[int, Submitted]:
    if not jobs:
        return {}
    event_ids = {seq: tx.next_event_id() for seq in jobs}
    rows = [_job_row(tx, seq, job, event_ids[seq]) for seq, job in jobs.items()]
    added: dict[int, str] = dict(tx.rows(_SQL["add_jobs"], jobs=tx.array(rows), now=tx.now_ms))
    _add_inputs(tx, jobs)
    uploads.refer(tx, jobs)
    for seq, job in jobs.items():
        status = Status(added[seq])
        if status is Status.QUEUED:
            tx.ready.add(job.lane, job.queue)
        tx.tally.moved(job.principal, job.lane, job.queue, None, status)
        event_id, type_ = event_ids[seq], status_event(status)
        event = Event(event_id, seq, job.job_id, type_, tx.now_ms, 0, _times(job, status))
        tx.happened(event, _mask(job))
    return {seq: Submitted(job.job_id, seq, event_ids[seq]) for seq, job in jobs.items()}


def _times(job: NewJob, status: Status) -> dict[str, Any]:
    """Return when something is due about the new job: the scheduler goes by its event."""
    times: dict[str, Any] = {}
    if status is Status.SCHEDULED:
        times["run_at_ms"] = job.run_at_ms
    if job.start_before_ms is not None:
        times["start_before_ms"] = job.start_before_ms
    return times


def _mask(job: NewJob) -> int:
    return callback_mask(job.callback_events) if job.callback_url else 0


def _job_row(tx: Transaction, seq: int, job: NewJob, event_id: int) -> tuple[Any, ...]:
    scheduled = job.run_at_ms is not None and job.run_at_ms > tx.now_ms
    return (
        seq,
        job.job_id,
        job.principal,
        job.kind,
        job.queue,
        job.lane,
        job.priority,
        Status.SCHEDULED if scheduled else Status.QUEUED,
        job.run_at_ms,
        job.created_at_ms,
        job.start_before_ms,
        job.max_attempts,
        job.timeout_ms,
        job.retention_ms,
        job.retry_of,
        _mask(job),
        event_id,
    )


def _add_inputs(tx: Transaction, jobs: dict[int, NewJob]) -> None:
    small, large = [], []
    for seq, job in jobs.items():
        metadata = msgspec.json.encode(job.metadata).decode()
        about = (seq, metadata, job.traceparent, job.callback_url)
        if len(job.args) < results.LARGE_BYTES:
            small.append((*about, job.args.decode()))
        else:
            large.append((*about, job.args))
    if small:
        tx.rows(_SQL["add_inputs"], inputs=tx.array(small))
    if large:
        tx.each(_SQL["add_large_input"], large)


class _Ended(NamedTuple):
    """A row that settle changed, in the order of its RETURNING."""

    event_id: int
    seq: int
    job_id: str
    status: str
    lane: Any
    queue: str
    attempt: int
    run_at: int | None
    expires_at: int | None
    failures: int
    crashes: int
    interrupted: int
    released: int
    snoozes: int
    callback_mask: int
    principal: str


def settle(tx: Transaction, settlements: Sequence[Settlement]) -> list[JobdError | None]:
    """Write how attempts ended; of two settlements of one token the first stands.

    Answers in order: None when written, LeaseLost when the token is not the job's.
    """
    first: dict[str, Settlement] = {}
    for settlement in settlements:
        first.setdefault(settlement.token, settlement)
    by_event = {tx.next_event_id(): settlement for settlement in first.values()}
    rows = [_settle_row(event_id, one) for event_id, one in by_event.items()]
    times = {"now": tx.now_ms, "max_age": tx.rules.max_age_ms}
    ended = sorted(_Ended(*row) for row in tx.rows(_SQL["settle"], ended=tx.array(rows), **times))
    _keep(tx, [(row, by_event[row.event_id]) for row in ended])
    written = {id(by_event[row.event_id]) for row in ended}
    return [None if id(one) in written else lease_lost() for one in settlements]


def _settle_row(event_id: int, one: Settlement) -> tuple[Any, ...]:
    delay_ms = (one.delay_ms or 0) if one.status is Status.RETRYING else None
    return (
        one.seq,
        one.token,
        one.status,
        one.status not in TERMINAL,
        delay_ms,
        event_id,
        one.attempt_delta,
        one.failures_delta,
        one.crashes_delta,
        one.interrupted_delta,
        one.released_delta,
        one.snoozes_delta,
    )


def _keep(tx: Transaction, ended: Sequence[tuple[_Ended, Settlement]]) -> None:
    kept: list[results.Kept] = []
    artifacts: list[tuple[int, Artifact]] = []
    for row, asked in ended:
        status = Status(row.status)
        tx.ready.freed(row.queue)
        tx.tally.moved(row.principal, row.lane, row.queue, Status.PROCESSING, status)
        if status is not asked.status:
            # a cancel came between the decision and this commit
            asked = msgspec.structs.replace(asked, error=was_cancelled(row.attempt))  # noqa: PLW2901
        if status is Status.QUEUED:
            tx.ready.add(row.lane, row.queue)
        elif status is Status.RETRYING or _has_something(asked) or row.attempt > 1:
            # of a result that is nothing too: the attempt before has left its error
            kept.append(
                results.Kept(row.seq, asked.error, asked.result, asked.partial, asked.summary)
            )
        artifacts += [(row.seq, artifact) for artifact in asked.artifacts]
        tx.happened(_ended_event(tx, row, status, asked), row.callback_mask)
    results.keep(tx, kept)
    results.add_artifacts(tx, artifacts)
    terminal = [row.seq for row, _ in ended if row.expires_at is not None]
    results.drop(tx, ended=[row.seq for row, _ in ended], terminal=terminal)


def _has_something(asked: Settlement) -> bool:
    return bool(asked.error or asked.result or asked.partial or asked.summary)


def _ended_event(tx: Transaction, row: _Ended, status: Status, asked: Settlement) -> Event:
    """Return the event of an ended attempt; its data holds what the move changed."""
    data: dict[str, Any] = {
        name: getattr(row, name) for name, delta in _COUNTERS.items() if getattr(asked, delta)
    }
    if status is Status.RETRYING:
        data["run_at_ms"] = row.run_at
    if row.expires_at is not None:
        data["expires_at_ms"] = row.expires_at
    if asked.error is not None:
        data["error"] = msgspec.to_builtins(asked.error)
    if asked.result is not None:
        data["has_result"] = True
    if asked.partial:
        data["partial"] = True
    if asked.summary is not None:
        data["summary"] = msgspec.to_builtins(asked.summary)
    if asked.evidence:
        data["evidence"] = asked.evidence
    return Event(
        row.event_id, row.seq, row.job_id, status_event(status), tx.now_ms, row.attempt, data
    )
