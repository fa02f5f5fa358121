"""Claims: the only way to `processing`. Every claim has a fresh token.

The queues of a lane take turns, each with an equal share of the free slots; what one does
not use goes to the others. Inside a queue the lowest priority number goes first, then the
oldest job.

Beyond the free slots short jobs are claimed ahead, as many as there is room for. The first in
line that is not short, or stands alone, ends that for the whole lane: it is next, and workers
that are given nothing more are idle soon.

Not here: which slots are free (pool/supervisor.py), running the claims
(engine/dispatcher.py).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from jobd.domain.ahead import NOTHING, ROUNDING, Ahead, stands_alone
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


def claim(tx: Transaction, free: Mapping[Lane, int], ahead: Ahead = NOTHING) -> None:
    """Lease jobs for the free slots of each lane and the cpu lane's room ahead.

    The claims are in `tx.claims`.
    """
    turn = _Turn(tx)
    for lane, slots in free.items():
        places = _Places(slots, ahead if lane == "cpu" and tx.ready.may_go_ahead else NOTHING)
        while places.left > 0 and (names := turn.queues(lane)):
            if picked := turn.pick(lane, names, places):
                tx.claims += _lease(tx, lane, picked, limited=turn.limited)


class _Places:
    """What a lane has left for the jobs of one transaction."""

    def __init__(self, slots: int, ahead: Ahead) -> None:
        self._slots, self._ahead = slots, ahead

    @property
    def left(self) -> int:
        """How many jobs there may be places for."""
        return max(self._slots, self._ahead.places)

    def take(self, job: _Picked, *, limited: bool) -> bool:
        """Use a place for a job; False if there is none for it, and then for no other."""
        share = None if limited or stands_alone(job) else self._ahead.shares.get(job.kind)
        if self._slots > 0:
            self._slots -= 1
        elif share is None or share > self._ahead.room + ROUNDING:
            self._ahead = NOTHING
            return False
        room = self._ahead.room - (1.0 if share is None else share)
        self._ahead = Ahead(room, self._ahead.shares)
        return True


class _Turn:
    """The picks of one transaction, and what it knows of the queues."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._spare: dict[str, float] = {}
        """How many more jobs of a queue may start."""
        self._looked = False
        self._later: set[tuple[Lane, str]] = set()
        """Queues whose head is a matter of the next transaction."""

    def limited(self, queue: str) -> bool:
        """Whether the queue has a limit."""
        return math.isfinite(self._spare[queue])

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

    def pick(self, lane: Lane, names: Sequence[str], places: _Places) -> list[_Picked]:
        """Go once round the queues.

        Either the places are used up, or some queue will not be among `queues` again, or the
        head of one has been put right.
        """
        share = math.ceil(places.left / len(names))
        picked: list[_Picked] = []
        for queue in names:
            wanted = int(min(share, places.left, self._spare[queue]))
            if not wanted:
                break
            picked += self._pick_from(lane, queue, wanted, places)
        return picked

    def _pick_from(self, lane: Lane, queue: str, wanted: int, places: _Places) -> list[_Picked]:
        tx = self._tx
        rows = tx.rows(_SQL["pick"], lane=lane, queue=queue, wanted=wanted)
        seen = [_Picked(queue, *row) for row in rows]
        able = [job for job in seen if _may_start(tx, lane, job)]
        picked = list(self._placed(able, places))
        waits = len(picked) < len(able)
        empty = len(seen) < wanted
        if len(able) < len(seen):
            if self._looked:
                self._later.add((lane, queue))
                empty = False
            else:
                self._looked = True
                parking.clear_head(tx, lane, queue, max(wanted, parking.AT_ONCE))
        if picked or not waits:
            tx.ready.served(lane, queue, empty=empty and not waits)
        if waits:
            tx.ready.waits()
        self._spare[queue] -= len(picked)
        if self._spare[queue] <= 0:
            tx.ready.set_aside(queue)
        return picked

    def _placed(self, able: Iterable[_Picked], places: _Places) -> Iterator[_Picked]:
        for job in able:
            if not places.take(job, limited=self.limited(job.queue)):
                return
            yield job


def _may_start(tx: Transaction, lane: Lane, job: _Picked) -> bool:
    doom = deadlines.doom(
        tx, created_at=job.created_at, start_before=job.start_before, attempt=job.attempt
    )
    return doom is None and parking.fits(tx, job.kind, lane)


def _lease(
    tx: Transaction, lane: Lane, picked: Sequence[_Picked], *, limited: Callable[[str], bool]
) -> list[Claim]:
    leases = [(job.seq, new_token(), tx.next_event_id()) for job in picked]
    by_seq = {job.seq: job for job in picked}
    rows = tx.rows(_SQL["lease"], leases=tx.array(leases), instance=tx.instance, now=tx.now_ms)
    return [
        _claim(tx, lane, job := by_seq[row[1]], row, limited=limited(job.queue))
        for row in sorted(rows)
    ]


def _claim(
    tx: Transaction, lane: Lane, job: _Picked, leased: tuple[Any, ...], *, limited: bool
) -> Claim:
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
        limited=limited,
    )
