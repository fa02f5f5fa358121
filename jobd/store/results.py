"""What is kept of an ended attempt: result or error, artifacts; and what is dropped with it.

One row a job: it shows the result of a completed job, or the error of the newest ended
attempt of any other. Errors of earlier attempts are in their events.

Not here: the job's own row (jobs.py), the files (files/).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from jobd.domain.jobs import Artifact, JobError, Result, Summary
from jobd.store.queries import load
from jobd.store.transaction import Transaction

_SQL = load("results.sql")


class Kept(msgspec.Struct, frozen=True):
    """What to keep of one job's ended attempt."""

    seq: int
    error: JobError | None = None
    result: Result | None = None
    partial: bool = False
    summary: Summary | None = None


def keep(tx: Transaction, kept: Sequence[Kept]) -> None:
    """Store these, over what earlier attempts left."""
    rows = [_row(one) for one in kept]
    tx.put(_SQL["put_results"], rows, wide_bytes=sum(len(row[-1]) for row in rows))


def add_artifacts(tx: Transaction, artifacts: Sequence[tuple[int, Artifact]]) -> None:
    """Store the artifacts of jobs, given as (seq, artifact)."""
    if artifacts:
        rows = [
            (seq, a.name, a.attempt, a.path, a.media_type, a.size_bytes, a.sha256)
            for seq, a in artifacts
        ]
        tx.rows(_SQL["add_artifacts"], artifacts=tx.array(rows))


def drop(tx: Transaction, *, ended: Sequence[int], terminal: Sequence[int]) -> None:
    """Drop the progress of ended attempts, and the checkpoints of jobs that are done."""
    if ended:
        tx.rows(_SQL["drop_progress"], seqs=tx.array(ended))
    if terminal:
        tx.rows(_SQL["drop_checkpoints"], seqs=tx.array(terminal))


def _row(kept: Kept) -> tuple[Any, ...]:
    result = kept.result
    about: tuple[Any, ...] = ("", "", "", "", "")
    body = ""
    if result is not None:
        about = (
            result.media_type,
            result.size_bytes,
            result.sha256,
            result.path or "",
            result.filename or "",
        )
        body = (result.body or b"").decode()
    summary = "" if kept.summary is None else _json(kept.summary)
    error = "" if kept.error is None else _json(kept.error)
    return (kept.seq, *about, int(kept.partial), summary, error, body)


def _json(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()
