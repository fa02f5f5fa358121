"""What is kept for a time only: jobs that are over, idempotency keys, uploads.

A reader finds what has expired, so that the search holds up nobody; a verb deletes it. What
has to stay although its time is over (a key or an upload that a job still needs) gets a
later time, so that the next look does not walk over it again; a job with unsettled
deliveries keeps its own, which clients are shown, and is passed over.

Not here: when to look, and the files (engine/retention.py), deleting an upload (uploads.py).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jobd.store import batches, finished
from jobd.store.database import Database
from jobd.store.idempotency import KEPT_MS
from jobd.store.outbox import DEAD_KEPT_MS
from jobd.store.queries import load
from jobd.store.transaction import Transaction
from jobd.store.uploads import LOOK_AGAIN_MS, Owned

_SQL = load("retention.sql")


class Place(NamedTuple):
    """Where in the order of expiry a look goes on."""

    expires_at_ms: int
    seq: int


FIRST = Place(0, 0)
"""Before every job."""


class Expiring(NamedTuple):
    """A job that is over."""

    seq: int
    job_id: str
    expires_at_ms: int
    unsettled: bool
    """Its callbacks are not all told yet: it stays until they are."""

    @property
    def place(self) -> Place:
        """Behind this job."""
        return Place(self.expires_at_ms, self.seq)


class Retired(NamedTuple):
    """Jobs that are gone, and how long deleting them took."""

    job_ids: list[str]
    held_s: float


class Looked(NamedTuple):
    """How many expired keys were deleted or kept on, or messages deleted; how long it took."""

    keys: int
    held_s: float


def retire_jobs(tx: Transaction, asked: Sequence[Sequence[int]]) -> list[Retired]:
    """Delete jobs by seq, with all that is stored of them but their idempotency keys.

    Only those that are over and have no unsettled deliveries; answers which they were.
    """
    return [_retire(tx, seqs) for seqs in asked]


def _retire(tx: Transaction, seqs: Sequence[int]) -> Retired:
    began_s = tx.monotonic_s()
    tx.save_history()
    rows = tx.rows(_SQL["retire_jobs"], seqs=tx.array(seqs))
    if rows:
        finished.drop(tx, rows, keep_dead=True)
    return Retired([row[0] for row in rows], tx.monotonic_s() - began_s)


def retire_keys(tx: Transaction, limits: Sequence[int]) -> list[Looked]:
    """Delete up to so many expired keys whose jobs are gone; the others get a later time.

    Beside them up to so many deliveries about no job that have been over for long. Answers
    how many it looked at: fewer than its limit means that no more have expired.
    """
    return [_retire_keys(tx, limit) for limit in limits]


def _retire_keys(tx: Transaction, limit: int) -> Looked:
    began_s = tx.monotonic_s()
    batches.retire(tx, limit)
    rows = tx.rows(_SQL["expired_keys"], now=tx.trusted_ms, limit=limit)
    gone = [key for *key, has_job, _ in rows if not has_job]
    kept = [(*key, _until(tx, at)) for *key, has_job, at in rows if has_job]
    if gone:
        tx.rows(_SQL["retire_keys"], keys=tx.array(gone))
    if kept:
        tx.rows(_SQL["keep_keys"], keys=tx.array(kept))
    messages = tx.drop_expired_messages(limit)
    return Looked(max(len(rows), messages), tx.monotonic_s() - began_s)


def _until(tx: Transaction, job_expires_at_ms: int | None) -> int:
    """Return when to look at a key again: when its job goes, if that is known."""
    at_ms = tx.trusted_ms + KEPT_MS if job_expires_at_ms is None else job_expires_at_ms
    return max(at_ms, tx.trusted_ms + LOOK_AGAIN_MS)


class Expiries:
    """What expires, and when: reads, on read-only connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def jobs(self, behind: Place, limit: int) -> list[Expiring]:
        """Return up to `limit` jobs that are over, the first to expire first."""
        rows = await self._rows(
            "expiring", after_ms=behind.expires_at_ms, after_seq=behind.seq, limit=limit
        )
        return [Expiring(seq, job_id, at, bool(unsettled)) for seq, job_id, at, unsettled in rows]

    async def uploads(self, now_ms: int, limit: int) -> list[Owned]:
        """Return up to `limit` uploads that have expired, the longest expired first."""
        return [Owned(*row) for row in await self._rows("expired_uploads", now=now_ms, limit=limit)]

    async def next_ms(self) -> int | None:
        """Return when the next key, upload or message expires, None if there is none."""
        ((key, upload, ended_at),) = await self._rows("next_expiry")
        message = None if ended_at is None else ended_at + DEAD_KEPT_MS
        return min((at for at in (key, upload, message) if at is not None), default=None)

    async def _rows(self, name: str, **values: Any) -> list[Any]:
        return await self._database.read(lambda c: c.execute(_SQL[name], values).fetchall())
