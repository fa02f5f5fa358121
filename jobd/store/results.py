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

LARGE_BYTES = 4096
"""From here on binding a value of its own is cheaper than passing it through JSON."""

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
    small = [(*row, body and body.decode()) for row, body in rows if len(body or b"") < LARGE_BYTES]
    large = [(*row, body) for row, body in rows if len(body or b"") >= LARGE_BYTES]
    if small:
        tx.rows(_SQL["put_results"], results=tx.array(small))
    if large:
        tx.each(_SQL["put_large_result"], large)


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


def _row(kept: Kept) -> tuple[tuple[Any, ...], bytes | None]:
    result = kept.result
    about: tuple[Any, ...] = (None, None, None, None, None)
    if result is not None:
        about = (
            result.media_type,
            result.size_bytes,
            result.sha256,
            result.path,
            result.filename,
        )
    row = (kept.seq, *about, int(kept.partial), _json(kept.summary), _json(kept.error))
    return row, None if result is None else result.body


def _json(value: msgspec.Struct | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
