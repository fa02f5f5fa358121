"""Claims: the only way to `processing`. Every claim has a fresh token.

The queues of a lane take turns, each with an equal share of the free slots; what one does
not use goes to the others. Inside a queue the lowest priority number goes first, then the
oldest job.

Not here: which slots are free (pool/supervisor.py), running the claims
(engine/dispatcher.py).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.events import Event, status_event
from jobd.domain.ids import new_token
from jobd.domain.jobs import Claim
from jobd.domain.statuses import Status
from jobd.store import deadlines, parking, queues
from jobd.store.queries import load
from jobd.store.transaction import Transaction

_SQL = load("claims.sql")

_METADATA = msgspec.json.Decoder(dict[str, str])


class _Picked(NamedTuple):
    """A queued job and its queue, the rest in the order of the statement `pick`."""

    queue: str
    seq: int
    job_id: str
    kind: str
    created_at: int
    start_before: int | None
    attempt: int
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


def claim(tx: Transaction, free: Mapping[Lane, int]) -> None:
    """Lease jobs for the free slots of each lane; the claims are in `tx.claims`."""
    turn = _Turn(tx)
    for lane, slots in free.items():
        left = slots
        while left > 0 and (names := turn.queues(lane)):
            picked = turn.pick(lane, names, left)
            if picked:
                tx.claims += _lease(tx, lane, picked)
            left -= len(picked)


class _Turn:
    """The picks of one transaction, and what it knows of the queues."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._spare: dict[str, float] = {}
        """How many more jobs of a queue may start."""
        self._looked = False
        self._later: set[tuple[Lane, str]] = set()
        """Queues whose head has to be put right by the next transaction."""

    def queues(self, lane: Lane) -> list[str]:
        """Return the lane's queues that may start something; the others are set aside."""
        names = [name for name in self._tx.ready.queues(lane) if (lane, name) not in self._later]
        unknown = [name for name in names if name not in self._spare]
        if unknown:
            self._spare |= queues.spare(self._tx, unknown)
        for name in names:
            if self._spare[name] <= 0:
                self._tx.ready.set_aside(name)
        return [name for name in names if self._spare[name] > 0]

    def pick(self, lane: Lane, names: Sequence[str], slots: int) -> list[_Picked]:
        """Go once round the queues.

        Either the slots are used up, or some queue will not be among `queues` again, or the
        head of one has been put right.
        """
        share = math.ceil(slots / len(names))
        picked: list[_Picked] = []
        for queue in names:
            wanted = int(min(share, slots - len(picked), self._spare[queue]))
            if not wanted:
                break
            picked += self._pick_from(lane, queue, wanted)
        return picked

    def _pick_from(self, lane: Lane, queue: str, wanted: int) -> list[_Picked]:
        tx = self._tx
        rows = tx.rows(_SQL["pick"], lane=lane, queue=queue, wanted=wanted)
        seen = [_Picked(queue, *row) for row in rows]
        picked = [job for job in seen if _may_start(tx, lane, job)]
        empty = len(seen) < wanted
        if len(picked) < len(seen):
            if self._looked:
                self._later.add((lane, queue))
                empty = False
            else:
                self._looked = True
                parking.clear_head(tx, lane, queue, max(wanted, parking.AT_ONCE))
        tx.ready.served(lane, queue, empty=empty)
        self._spare[queue] -= len(picked)
        if self._spare[queue] <= 0:
            tx.ready.set_aside(queue)
        return picked


def _may_start(tx: Transaction, lane: Lane, job: _Picked) -> bool:
    doom = deadlines.doom(
        tx, created_at=job.created_at, start_before=job.start_before, attempt=job.attempt
    )
    return doom is None and parking.fits(tx, job.kind, lane)


def _lease(tx: Transaction, lane: Lane, picked: Sequence[_Picked]) -> list[Claim]:
    leases = [(job.seq, new_token(), tx.next_event_id()) for job in picked]
    by_seq = {job.seq: job for job in picked}
    rows = tx.rows(_SQL["lease"], leases=tx.array(leases), instance=tx.instance, now=tx.now_ms)
    return [_claim(tx, lane, by_seq[row[1]], row) for row in sorted(rows)]


def _claim(tx: Transaction, lane: Lane, job: _Picked, leased: tuple[Any, ...]) -> Claim:
    event_id, seq, token, attempt, mask, principal = leased
    tx.tally.moved(principal, lane, job.queue, Status.QUEUED, Status.PROCESSING)
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
