"""Where a job begins and where an attempt ends: enqueue and settle.

Settle is fenced: it changes a row only under the token of the attempt's own lease, and a
token settles once. Events, results and artifacts are written for rows that were changed,
never from the request alone. That a handler returned, as most do, is written without reading
anything back of the jobs.

Not here: claims (claims.py), other moves (moves.py), what an outcome means
(domain/outcomes.py).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.errors import JobdError
from jobd.domain.events import Event, callback_mask, status_event
from jobd.domain.jobs import Artifact, NewJob, Settlement, Submitted
from jobd.domain.outcomes import was_cancelled
from jobd.domain.statuses import INITIAL, TERMINAL, Status
from jobd.store import admission, idempotency, results, uploads
from jobd.store.attempts import lease_lost
from jobd.store.leases import Lease
from jobd.store.queries import load
from jobd.store.transaction import Transaction

_SQL = load("jobs.sql")

_COMPLETED = status_event(Status.COMPLETED)

_BEGINS = {status: (status.value, status_event(status)) for status in INITIAL}
"""A new job's status as it is stored, and the type of its event."""

_Moved = Counter[tuple[str, Lane, str, Status]]
"""Jobs by principal, lane, queue and their new status."""

_COUNTERS = {
    name: f"{name}_delta" for name in ("failures", "crashes", "interrupted", "released", "snoozes")
}


def enqueue(
    tx: Transaction, jobs: Sequence[NewJob], *, batch_seq: int | None = None
) -> list[Submitted | JobdError]:
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
    fit = {seq: job for seq, job in new.items() if seq not in refused}
    answers.update(_insert(tx, fit, batch_seq))
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


def _insert(
    tx: Transaction, jobs: dict[int, NewJob], batch_seq: int | None
) -> dict[int, Submitted]:
    if not jobs:
        return {}
    submitted: dict[int, Submitted] = {}
    rows: list[tuple[Any, ...]] = []
    moved = _Moved()
    for event_id, (seq, job) in zip(tx.next_event_ids(len(jobs)), jobs.items(), strict=True):
        mask = 0
        if job.callback_url:
            mask = callback_mask(job.callback_events)
        scheduled = job.run_at_ms is not None and job.run_at_ms > tx.now_ms
        status = Status.SCHEDULED if scheduled else Status.QUEUED
        word, type_ = _BEGINS[status]
        row = _job_row(tx, seq, job, word, mask, event_id)
        rows.append((*row, "", "") if batch_seq is None else (*row, batch_seq, job.batch_index))
        moved[job.principal, job.lane, job.queue, status] += 1
        event = Event(event_id, seq, job.job_id, type_, tx.now_ms, 0, _times(job, status))
        tx.happened(event, mask)
        submitted[seq] = Submitted(job.job_id, seq, event_id)
    tx.put(_SQL["add_jobs"], rows)  # all of them, or it raises
    inputs = [_input_row(seq, job) for seq, job in jobs.items()]
    tx.put(_SQL["add_inputs"], inputs, wide_bytes=sum(len(row[-1]) for row in inputs))
    uploads.refer(tx, jobs)
    for (principal, lane, queue, status), count in moved.items():
        if status is Status.QUEUED:
            tx.ready.add(lane, queue)
        tx.tally.moved(principal, lane, queue, None, status, jobs=count)
    return submitted


def insert_plain(
    tx: Transaction, jobs: Sequence[NewJob], batch_seq: int
) -> list[Submitted | JobdError]:
    """Store jobs of a batch that have neither key, time, callback nor upload, all at once.

    There must be room for all of them. Does what `enqueue` would, for half of its CPU.
    """
    rows: list[tuple[Any, ...]] = []
    inputs: list[tuple[Any, ...]] = []
    answers: list[Submitted | JobdError] = []
    now_ms = tx.now_ms
    word, type_ = _BEGINS[Status.QUEUED]
    for event_id, job in zip(tx.next_event_ids(len(jobs)), jobs, strict=True):
        seq = tx.next_seq()
        row = _job_row(tx, seq, job, word, 0, event_id)
        rows.append((*row, batch_seq, job.batch_index))
        inputs.append(_input_row(seq, job))
        tx.happened(Event(event_id, seq, job.job_id, type_, now_ms, 0), 0)
        answers.append(Submitted(job.job_id, seq, event_id))
    tx.put(_SQL["add_jobs"], rows)
    tx.put(_SQL["add_inputs"], inputs, wide_bytes=sum(len(row[-1]) for row in inputs))
    moved = Counter((job.principal, job.lane, job.queue) for job in jobs)
    for (principal, lane, queue), count in moved.items():
        tx.ready.add(lane, queue)
        tx.tally.moved(principal, lane, queue, None, Status.QUEUED, jobs=count)
    return answers


def _times(job: NewJob, status: Status) -> dict[str, Any]:
    """Return when something is due about the new job: the scheduler goes by its event."""
    times: dict[str, Any] = {}
    if status is Status.SCHEDULED:
        times["run_at_ms"] = job.run_at_ms
    if job.start_before_ms is not None:
        times["start_before_ms"] = job.start_before_ms
    return times


def _job_row(
    tx: Transaction, seq: int, job: NewJob, status: str, mask: int, event_id: int
) -> tuple[Any, ...]:
    return (
        seq,
        job.job_id,
        job.principal,
        job.kind,
        job.queue,
        job.lane,
        job.priority,
        status,
        "" if job.run_at_ms is None else job.run_at_ms,
        job.created_at_ms,
        tx.now_ms,
        "" if job.start_before_ms is None else job.start_before_ms,
        job.max_attempts,
        job.timeout_ms,
        job.retention_ms,
        job.retry_of or "",
        mask,
        event_id,
    )


def _input_row(seq: int, job: NewJob) -> tuple[Any, ...]:
    metadata = msgspec.json.encode(job.metadata).decode() if job.metadata else "{}"
    said = (job.traceparent or "", job.callback_url or "", job.request_id or "")
    return (seq, metadata, *said, job.args.decode())


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
    tx.ended += first
    plain: list[tuple[Settlement, Lease]] = []
    others: list[Settlement] = []
    for one in first.values():
        if _only_completes(one) and (lease := tx.leases.get(one.token)) is not None:
            plain.append((one, lease))
        else:
            others.append(one)
    written = _complete(tx, plain) | _end(tx, others)
    return [None if id(one) in written else lease_lost() for one in settlements]


def _only_completes(one: Settlement) -> bool:
    """Whether all that it changes of the job's row is what every result changes."""
    return one.status is Status.COMPLETED and not (
        one.attempt_delta
        or one.failures_delta
        or one.crashes_delta
        or one.interrupted_delta
        or one.released_delta
        or one.snoozes_delta
    )


def _complete(tx: Transaction, settlements: Sequence[tuple[Settlement, Lease]]) -> set[int]:
    """Write what handlers returned; return the ids of those written.

    Nothing is read back of the jobs: it is in their leases.
    """
    if not settlements:
        return set()
    by_event = dict(zip(tx.next_event_ids(len(settlements)), settlements, strict=True))
    moves = [(one.seq, one.token, event_id) for event_id, (one, _) in by_event.items()]
    written: set[int] = set()
    ending = _Ending(tx)
    for event_id in tx.changed(_SQL["complete"], moves, now=tx.now_ms):
        one, lease = by_event[event_id]
        claim, principal, mask, retention_ms = lease
        written.add(id(one))
        ending.moved[principal, claim.lane, claim.queue, Status.COMPLETED] += 1
        ending.keep(one, claim.seq, Status.COMPLETED, claim.attempt)
        if tx.leases.leaves_something(lease):
            ending.terminal.append(claim.seq)
        data = _outcome_data(one, {"expires_at_ms": tx.now_ms + retention_ms})
        tx.happened(
            Event(event_id, claim.seq, claim.job_id, _COMPLETED, tx.now_ms, claim.attempt, data),
            mask,
        )
    ending.write()
    return written


def _end(tx: Transaction, settlements: Sequence[Settlement]) -> set[int]:
    """Write outcomes of whatever kind; return the ids of those written."""
    if not settlements:
        return set()
    by_event = dict(zip(tx.next_event_ids(len(settlements)), settlements, strict=True))
    rows = [_settle_row(event_id, one) for event_id, one in by_event.items()]
    times = {"now": tx.now_ms, "max_age": tx.rules.max_age_ms}
    ended = sorted(_Ended(*row) for row in tx.rows(_SQL["settle"], ended=tx.array(rows), **times))
    ending = _Ending(tx)
    for row in ended:
        one, status = by_event[row.event_id], Status(row.status)
        ending.moved[row.principal, row.lane, row.queue, status] += 1
        if status is not one.status:
            # a cancel came between the decision and this commit
            one = msgspec.structs.replace(one, error=was_cancelled(row.attempt))
        ending.keep(one, row.seq, status, row.attempt)
        (ending.alive if row.expires_at is None else ending.terminal).append(row.seq)
        tx.happened(_ended_event(tx, row, status, one), row.callback_mask)
    ending.write()
    return {id(by_event[row.event_id]) for row in ended}


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


class _Ending:
    """What is written beside the rows of jobs whose attempts have ended."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._kept: list[results.Kept] = []
        self._artifacts: list[tuple[int, Artifact]] = []
        self.moved = _Moved()
        self.alive: list[int] = []
        """Seqs of jobs that go on and may have progress."""
        self.terminal: list[int] = []
        """Seqs of jobs that are over and may have progress or a checkpoint."""

    def keep(self, one: Settlement, seq: int, status: Status, attempt: int) -> None:
        """Note what an attempt has left; one that was released leaves no more than its files."""
        if one.artifacts:
            self._artifacts += [(seq, artifact) for artifact in one.artifacts]
        if status is Status.QUEUED:
            return
        something = one.error or one.result or one.partial or one.summary
        # of a result that is nothing too: the attempt before has left its error
        if something or status is Status.RETRYING or attempt > 1:
            kept = results.Kept(seq, one.error, one.result, one.partial, one.summary)
            self._kept.append(kept)

    def write(self) -> None:
        """Write it."""
        tx = self._tx
        for (principal, lane, queue, status), jobs in self.moved.items():
            tx.ready.freed(queue)
            tx.tally.moved(principal, lane, queue, Status.PROCESSING, status, jobs=jobs)
            if status is Status.QUEUED:
                tx.ready.add(lane, queue)
        results.keep(tx, self._kept)
        results.add_artifacts(tx, self._artifacts)
        results.drop(tx, ended=[*self.alive, *self.terminal], terminal=self.terminal)


def _ended_event(tx: Transaction, row: _Ended, status: Status, asked: Settlement) -> Event:
    """Return the event of an ended attempt; its data holds what the move changed."""
    data: dict[str, Any] = {
        name: getattr(row, name) for name, delta in _COUNTERS.items() if getattr(asked, delta)
    }
    if status is Status.RETRYING:
        data["run_at_ms"] = row.run_at
    if row.expires_at is not None:
        data["expires_at_ms"] = row.expires_at
    return Event(
        row.event_id,
        row.seq,
        row.job_id,
        status_event(status),
        tx.now_ms,
        row.attempt,
        _outcome_data(asked, data),
    )


def _outcome_data(asked: Settlement, data: dict[str, Any]) -> dict[str, Any]:
    """Add to an event's data what the attempt has left."""
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
    return data
