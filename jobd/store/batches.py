"""Batches: written part by part, counted by a trigger, finished with their last job.

A part is a transaction, so that others come in between; a batch has ended when it is loaded
and none of its jobs is left to run. Its callback's message is written in the transaction of
that. In `messages` the seq of a batch stands below zero, where no job's is.

Not here: the jobs themselves (jobs.py), which lines are taken (engine/batches.py).
"""

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from jobd.domain.batches import COMPLETED_TYPE, Batch, LineError, NewBatch, Report
from jobd.domain.errors import JobdError
from jobd.domain.events import Event
from jobd.domain.jobs import NewJob, Submitted
from jobd.domain.statuses import Status
from jobd.store import admission, finished, jobs
from jobd.store.database import Database
from jobd.store.idempotency import KEPT_MS
from jobd.store.queries import load
from jobd.store.transaction import Transaction

_SQL = load("batches.sql")

_JOB_IDS = msgspec.json.Decoder(list[str | None])
_ERRORS = msgspec.json.Decoder(list[LineError])

_COMPOSED = {"loaded", "jobs", "job_ids", "errors"}
_PLAIN = [name for name in Batch.__struct_fields__ if name not in _COMPOSED]

_NEWEST = 2**62

Answers = list[Submitted | JobdError]


class Part(msgspec.Struct, frozen=True):
    """Some lines of a batch: new jobs, or jobs to be copied.

    If `whole`, all of them are written or none is.
    """

    batch_seq: int
    written: int
    """Lines of the batch that are written with this part."""
    jobs: Sequence[NewJob] = ()
    retries: Sequence[finished.Retry] = ()
    whole: bool = False
    plain: bool = False
    """None of the jobs has a key, a time, a callback or an upload."""


class Loaded(NamedTuple):
    """The last word on what was written of a batch."""

    batch_seq: int
    report: Report


class Member(msgspec.Struct, frozen=True):
    """A job of a batch."""

    seq: int
    job_id: str
    index: int
    status: Status


class _Refused(Exception):  # noqa: N818 - takes the way of an error, and is none
    """A line of a part that is to be whole was refused."""


def begin(tx: Transaction, batches: Sequence[NewBatch]) -> list[int]:
    """Store batches without any job, and answer their seqs."""
    return [_begin(tx, one) for one in batches]


def _begin(tx: Transaction, new: NewBatch) -> int:
    values = {name: getattr(new, name) for name in new.__struct_fields__ if name != "created_at_ms"}
    ((seq,),) = tx.rows(_SQL["begin_batch"], created_at=new.created_at_ms, **values)
    return int(seq)


def add(tx: Transaction, parts: Sequence[Part]) -> list[Answers]:
    """Store the jobs of each part.

    Answers for each of its lines what `jobs.enqueue`, or `finished.retry`, does.
    """
    return [_add_whole(tx, part) if part.whole else _add(tx, part) for part in parts]


def _add(tx: Transaction, part: Part) -> Answers:
    answers: Answers = []
    scheduled = queued = 0
    if part.jobs:
        if part.plain and admission.has_plenty(tx, len(part.jobs)):
            answers = jobs.insert_plain(tx, part.jobs, part.batch_seq)
        else:
            answers = jobs.enqueue(tx, part.jobs, batch_seq=part.batch_seq)
        for job, answer in zip(part.jobs, answers, strict=True):
            if isinstance(answer, Submitted) and not answer.replayed:
                ahead = job.run_at_ms is not None and job.run_at_ms > tx.now_ms
                scheduled, queued = scheduled + ahead, queued + (not ahead)
    if part.retries:
        answers = finished.retry(tx, part.retries)
        first = part.written - len(answers)
        copies = [
            (answer.seq, index)
            for index, answer in enumerate(answers, start=first)
            if isinstance(answer, Submitted)
        ]
        queued += len(copies)
        tx.rows(_SQL["join_batch"], copies=tx.array(copies), batch_seq=part.batch_seq)
    tx.rows(
        _SQL["add_counts"],
        seq=part.batch_seq,
        scheduled=scheduled,
        queued=queued,
        written=part.written,
    )
    return answers


def _add_whole(tx: Transaction, part: Part) -> Answers:
    tx.save_history()  # what happened before is not to be undone with it
    answers: Answers = []
    with contextlib.suppress(_Refused), tx.savepoint():
        answers += _add(tx, part)
        _refuse_unless_all(answers)
    return answers


def _refuse_unless_all(answers: Answers) -> None:
    if not all(isinstance(answer, Submitted) for answer in answers):
        raise _Refused


def loaded(tx: Transaction, asked: Sequence[Loaded]) -> list[None]:
    """Take note that nothing more is written of batches; those without a job are deleted."""
    for seq, report in asked:
        if not report.accepted:
            tx.rows(_SQL["drop_empty"], seq=seq)
            continue
        counts = {"total": report.total, "accepted": report.accepted, "replayed": report.replayed}
        if tx.rows(_SQL["load_batch"], seq=seq, **counts):
            said = {"job_ids": tx.array(report.job_ids), "errors": tx.array(report.errors)}
            tx.rows(_SQL["add_report"], seq=seq, **said)
    finish(tx)
    return [None] * len(asked)


def finish(tx: Transaction) -> None:
    """End the batches whose last job has ended, and tell their callbacks of it."""
    times = {"now": tx.now_ms, "key_kept": KEPT_MS}
    for seq, batch_id, principal, url in tx.rows(_SQL["finish_batches"], **times):
        tx.tell(Event(0, -seq, batch_id, COMPLETED_TYPE, tx.now_ms, 0), principal, url)


def recover(tx: Transaction) -> None:
    """Load what an older start was writing as it is; call when nothing is being written."""
    tx.rows(_SQL["load_broken_off"], by=_NEWEST, keys_by=tx.trusted_ms - KEPT_MS)
    finish(tx)


def retire(tx: Transaction, limit: int) -> None:
    """Delete up to so many batches that have expired and whose jobs are gone."""
    too_old = tx.trusted_ms - KEPT_MS
    tx.rows(_SQL["load_broken_off"], by=too_old, keys_by=too_old)
    finish(tx)
    seqs = [seq for (seq,) in tx.rows(_SQL["retire_batches"], now=tx.trusted_ms, limit=limit)]
    if seqs:
        tx.rows(_SQL["retire_reports"], seqs=tx.array(seqs))
        tx.drop_messages([-seq for seq in seqs], keep_dead=True)


class Batches:
    """Reads, on read-only connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, batch_id: str) -> Batch | None:
        """Return the batch in detail; None if there is none."""
        return _first(await self._rows("get_batch", batch_id=batch_id, detail=True))

    async def by_seq(self, seq: int) -> Batch | None:
        """Return the batch; None if there is none."""
        return _first(await self._rows("batch_by_seq", seq=seq, detail=False))

    async def of_key(self, principal: str, key: str) -> Batch | None:
        """Return the batch that a principal's key names, in detail."""
        return _first(await self._rows("batch_of_key", principal=principal, key=key, detail=True))

    async def page(self, principal: str | None, before_seq: int | None, limit: int) -> list[Batch]:
        """Return a page of a principal's batches, or of everybody's, newest first."""
        values = {"before_seq": _NEWEST if before_seq is None else before_seq, "limit": limit}
        if principal is None:
            rows = await self._rows("list_all_batches", **values, detail=False)
        else:
            rows = await self._rows("list_batches", principal=principal, **values, detail=False)
        return [_batch(row) for row in rows]

    async def members(self, batch_seq: int, *, after: int, limit: int) -> list[Member]:
        """Return jobs of a batch behind the job `after`, in the order of their lines."""
        rows = await self._rows("jobs_of_batch", batch_seq=batch_seq, after=after, limit=limit)
        return [Member(seq, job_id, index, Status(word)) for seq, job_id, index, word in rows]

    async def _rows(self, name: str, **values: Any) -> list[Any]:
        return await self._database.read(lambda c: c.execute(_SQL[name], values).fetchall())


def _first(rows: Sequence[Any]) -> Batch | None:
    return _batch(rows[0]) if rows else None


def _batch(row: Any) -> Batch:
    return Batch(
        **{name: row[name] for name in _PLAIN},
        loaded=bool(row["loaded"]),
        jobs={status: row[status.value] for status in Status},
        job_ids=[] if row["job_ids"] is None else _JOB_IDS.decode(row["job_ids"]),
        errors=[] if row["errors"] is None else _ERRORS.decode(row["errors"]),
    )
