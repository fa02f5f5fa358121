"""What can be done with a job that is over: make a new one of it, or delete it.

A terminal status is for ever, so a retry is a new job: it has the old one's inputs and
options, none of its history. The two name each other.

Not here: further attempts of a job that is not over (domain/outcomes.py), deleting what has
expired (retention.py), the folders of a deleted job (engine/commands.py).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from jobd.domain.errors import Conflict, JobdError, NotFound
from jobd.domain.events import Event, status_event
from jobd.domain.jobs import Submitted
from jobd.domain.statuses import TERMINAL, Status
from jobd.store import admission, results
from jobd.store.queries import load
from jobd.store.transaction import Transaction

_SQL = load("finished.sql")


class Retry(NamedTuple):
    """A wish to run a job again, under a new id."""

    job_id: str
    new_id: str


class _Found(NamedTuple):
    """A job as it was found, and what explains why it is not changed."""

    status: str
    retried_as: str | None
    principal: str


def retry(tx: Transaction, asked: Sequence[Retry]) -> list[Submitted | JobdError]:
    """Queue copies of failed and cancelled jobs, each job once.

    Answers in order: Submitted (the copy), NotFound, Conflict (`job_active`,
    `job_completed`, `job_already_retried`, or `input_missing`: an upload was removed),
    Unavailable (`queue_full`) or LimitReached (`quota_exceeded`).
    """
    first: dict[str, Retry] = {}
    for one in asked:
        first.setdefault(one.job_id, one)
    refused = _refused(tx, first)
    # the old job's document changes, so its version does; nothing happens to it, so no event
    marks = [(*one, tx.next_event_id()) for one in first.values() if one.job_id not in refused]
    rows = tx.rows(_SQL["mark_retried"], asked=tx.array(marks), now=tx.now_ms)
    marked: dict[str, int] = dict(rows)
    made = _copy(tx, {one.new_id: marked[one.new_id] for one in asked if one.new_id in marked})
    found = _found(tx, [one.job_id for one in asked if one.new_id not in made])
    return [
        made.get(one.new_id) or refused.get(one.job_id) or _not_retried(one.job_id, found)
        for one in asked
    ]


def _refused(tx: Transaction, job_ids: Collection[str]) -> dict[str, JobdError]:
    """Return those of the jobs of which there is no room for copies."""
    if admission.has_plenty(tx, len(job_ids)):
        return {}
    copied = {
        job_id: job.principal
        for job_id, job in _found(tx, job_ids).items()
        if job.status in (Status.FAILED, Status.CANCELLED) and job.retried_as is None
    }
    return admission.refused(tx, copied)


def _copy(tx: Transaction, originals: Mapping[str, int]) -> dict[str, Submitted]:
    """Copy jobs, given as the copy's id and the original's seq."""
    if not originals:
        return {}
    copies = [
        (tx.next_seq(), old_seq, new_id, tx.next_event_id())
        for new_id, old_seq in originals.items()
    ]
    array = tx.array(copies)
    jobs = sorted(tx.rows(_SQL["copy_jobs"], copies=array, now=tx.now_ms))
    tx.written_bytes += sum(size for (size,) in tx.rows(_SQL["copy_inputs"], copies=array))
    tx.rows(_SQL["copy_references"], copies=array)
    for event_id, seq, new_id, principal, lane, queue, start_before, mask in jobs:
        tx.ready.add(lane, queue)
        tx.tally.moved(principal, lane, queue, None, Status.QUEUED)
        data = {} if start_before is None else {"start_before_ms": start_before}
        type_ = status_event(Status.QUEUED)
        tx.happened(Event(event_id, seq, new_id, type_, tx.now_ms, 0, data), mask)
    return {new_id: Submitted(new_id, seq, event_id) for event_id, seq, new_id, *_ in jobs}


def _found(tx: Transaction, job_ids: Collection[str]) -> dict[str, _Found]:
    if not job_ids:
        return {}
    rows = tx.rows(_SQL["unchanged"], job_ids=tx.array(list(job_ids)))
    return {job_id: _Found(*row) for job_id, *row in rows}


def _not_retried(job_id: str, found: Mapping[str, _Found]) -> JobdError:
    job = found.get(job_id)
    if job is None:
        return _no_such(job_id)
    if job.status not in TERMINAL:
        return _active(job)
    if job.status == Status.COMPLETED:
        return Conflict("job_completed", "The job has completed; submit it anew to run it again.")
    if job.retried_as is not None:
        return Conflict("job_already_retried", f"The job was retried as {job.retried_as}.")
    return Conflict("input_missing", "An upload that the job's args name has been removed.")


def delete(tx: Transaction, job_ids: Sequence[str]) -> list[JobdError | None]:
    """Delete jobs that are over and all that is stored of them, but not their idempotency keys.

    Answers in order: None when it is gone, NotFound, or Conflict (`job_active`).
    """
    tx.save_history()  # what this transaction has noted of a job goes with it
    rows = tx.rows(_SQL["delete_jobs"], job_ids=tx.array(job_ids))
    deleted = {row[0] for row in rows}
    if rows:
        drop(tx, rows)
    found = _found(tx, [job_id for job_id in job_ids if job_id not in deleted])
    return [None if job_id in deleted else _not_deleted(job_id, found) for job_id in job_ids]


def drop(tx: Transaction, deleted: Sequence[Sequence[Any]], *, keep_dead: bool = False) -> None:
    """Delete what is stored of jobs whose rows have been deleted since `tx.save_history()`.

    A row says of its job: job_id, seq, principal, lane, queue, and the status it had. With
    `keep_dead` the dead letters stay for their time.
    """
    for _, _, principal, lane, queue, status in deleted:
        tx.tally.moved(principal, lane, queue, Status(status), None)
    seqs = [row[1] for row in deleted]
    results.drop(tx, ended=seqs, terminal=seqs)
    tx.drop_messages(seqs, keep_dead=keep_dead)
    array = tx.array(seqs)
    for statement in (
        "drop_inputs",
        "drop_results",
        "drop_events",
        "drop_artifacts",
        "drop_references",
    ):
        tx.rows(_SQL[statement], seqs=array)


def _not_deleted(job_id: str, found: Mapping[str, _Found]) -> JobdError:
    return _active(found[job_id]) if job_id in found else _no_such(job_id)


def _no_such(job_id: str) -> NotFound:
    return NotFound("job_not_found", f"There is no job {job_id}.")


def _active(job: _Found) -> Conflict:
    return Conflict("job_active", f"The job is {job.status}; cancel it first.")
