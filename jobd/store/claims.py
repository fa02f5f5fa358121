"""Claims: the only way to `processing`. Every claim has a fresh token.

The queues of a lane take turns, each with an equal share of the free slots; what one does
not use goes to the others. Inside a queue the lowest priority number goes first, then the
oldest job.

Not here: which slots are free (pool/supervisor.py), running the claims
(engine/dispatcher.py).
"""

import math
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.events import Event, status_event
from jobd.domain.ids import new_token
from jobd.domain.jobs import Claim
from jobd.domain.statuses import Status
from jobd.store.queries import load
from jobd.store.ready import Ready
from jobd.store.transaction import Transaction

_SQL = load("claims.sql")

_METADATA = msgspec.json.Decoder(dict[str, str])


class _Picked(NamedTuple):
    """A queued job and its queue, the rest in the order of the statement `pick`."""

    queue: str
    seq: int
    job_id: str
    kind: str
    max_attempts: int
    timeout_ms: int
    failures: int
    crashes: int
    interrupted: int
    released: int
    snoozes: int
    args: bytes
    metadata: str
    traceparent: str | None
    checkpoint: bytes | None


def find_ready(connection: sqlite3.Connection) -> Ready:
    """Return the queues that have work, at the cost of one look-up each."""
    ready = Ready()
    for lane in get_args(Lane):
        queue = ""
        while rows := connection.execute(
            _SQL["queues_with_work"], {"lane": lane, "queue": queue}
        ).fetchall():
            ((queue,),) = rows
            ready.add(lane, queue)
    return ready


def claim(tx: Transaction, free: Mapping[Lane, int]) -> None:
    """Lease jobs for the free slots of each lane; the claims are in `tx.claims`."""
    for lane, slots in free.items():
        left = slots
        while left > 0 and (queues := tx.ready.queues(lane)):
            picked = _pick(tx, lane, queues, left)
            if picked:
                tx.claims += _lease(tx, lane, picked)
            left -= len(picked)


def _pick(tx: Transaction, lane: Lane, queues: Sequence[str], slots: int) -> list[_Picked]:
    """Go once round the queues. Either the slots are used up or some queue was found empty."""
    share = math.ceil(slots / len(queues))
    picked: list[_Picked] = []
    for queue in queues:
        wanted = min(share, slots - len(picked))
        if not wanted:
            break
        rows = tx.rows(_SQL["pick"], lane=lane, queue=queue, wanted=wanted)
        tx.ready.served(lane, queue, empty=len(rows) < wanted)
        picked += [_Picked(queue, *row) for row in rows]
    return picked


def _lease(tx: Transaction, lane: Lane, picked: Sequence[_Picked]) -> list[Claim]:
    leases = [(job.seq, new_token(), tx.next_event_id()) for job in picked]
    by_seq = {job.seq: job for job in picked}
    rows = tx.rows(_SQL["lease"], leases=tx.array(leases), instance=tx.instance, now=tx.now_ms)
    return [_claim(tx, lane, by_seq[row[1]], row) for row in sorted(rows)]


def _claim(tx: Transaction, lane: Lane, job: _Picked, leased: tuple[Any, ...]) -> Claim:
    event_id, seq, token, attempt, mask = leased
    type_ = status_event(Status.PROCESSING)
    tx.happened(Event(event_id, seq, job.job_id, type_, tx.now_ms, attempt), mask)
    return Claim(
        seq=seq,
        job_id=job.job_id,
        token=token,
        kind=job.kind,
        queue=job.queue,
        lane=lane,
        attempt=attempt,
        max_attempts=job.max_attempts,
        timeout_ms=job.timeout_ms,
        failures=job.failures,
        crashes=job.crashes,
        interrupted=job.interrupted,
        released=job.released,
        snoozes=job.snoozes,
        args=job.args,
        metadata=_METADATA.decode(job.metadata),
        traceparent=job.traceparent,
        checkpoint=job.checkpoint,
        claimed_at_ms=tx.now_ms,
    )
