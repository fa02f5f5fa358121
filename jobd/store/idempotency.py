"""Idempotency keys: one key, one job, also between two submissions of one batch.

A key is taken in the transaction that inserts its job and outlives it: at least
KEPT_MS, and as long as the job is kept.

Not here: the fingerprint of a request (api/), where a key may be sent.
"""

from typing import Any

from jobd.domain.errors import Gone, Invalid, JobdError
from jobd.domain.jobs import NewJob, Submitted
from jobd.store.queries import load
from jobd.store.transaction import Transaction

KEPT_MS = 24 * 3600 * 1000

_SQL = load("jobs.sql")


def take(tx: Transaction, jobs: dict[int, NewJob]) -> set[int]:
    """Give the keys of `jobs` (by seq) to them; return the seqs whose key another job has."""
    keyed = {seq: job for seq, job in jobs.items() if job.idempotency}
    if not keyed:
        return set()
    keys = [_row(seq, job) for seq, job in keyed.items()]
    taken = tx.rows(_SQL["take_keys"], keys=tx.array(keys), now=tx.trusted_ms)
    return keyed.keys() - {seq for (seq,) in taken}


def give_back(tx: Transaction, jobs: dict[int, NewJob]) -> None:
    """Free the keys that this transaction has given to `jobs`, which are not inserted."""
    keys = [_row(seq, job) for seq, job in jobs.items() if job.idempotency]
    if keys:
        tx.rows(_SQL["give_back_keys"], keys=tx.array(keys))


def replay(tx: Transaction, jobs: dict[int, NewJob]) -> dict[int, Submitted | JobdError]:
    """Return what the keys of `jobs` already name, if they have one that does.

    Call it after the batch's own inserts.
    """
    keys = [_row(seq, job) for seq, job in jobs.items() if job.idempotency]
    if not keys:
        return {}
    owners = tx.rows(_SQL["owners_of_keys"], keys=tx.array(keys))
    return {
        asked: _answer(jobs[asked], fingerprint, job_id, seq, event_id)
        for asked, fingerprint, job_id, seq, event_id in owners
    }


def _row(seq: int, job: NewJob) -> tuple[Any, ...]:
    key = job.idempotency
    assert key is not None  # noqa: S101 - both callers have looked
    fingerprint = key.fingerprint.hex()
    expires_at = job.created_at_ms + KEPT_MS
    return (key.key, job.principal, key.route, fingerprint, seq, job.job_id, expires_at)


def _answer(
    asked: NewJob, fingerprint: str, job_id: str, seq: int, event_id: int | None
) -> Submitted | JobdError:
    key = asked.idempotency
    if key is None or key.fingerprint.hex() != fingerprint:
        return Invalid(
            "idempotency_key_reused",
            f"This idempotency key was used for job {job_id}, which was another request.",
        )
    if event_id is None:
        detail = f"This idempotency key named job {job_id}, which is gone."
        return Gone("job_expired", detail, job_id=job_id)
    return Submitted(job_id, seq, event_id, replayed=True)
