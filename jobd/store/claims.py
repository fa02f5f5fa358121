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
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from jobd.domain.ahead import NOTHING, ROUNDING, Ahead, stands_alone
from jobd.domain.catalog import Lane
from jobd.domain.events import Event, status_event
from jobd.domain.ids import new_tokens
from jobd.domain.jobs import Claim
from jobd.domain.statuses import Status
from jobd.store import deadlines, parking, queues
from jobd.store.leases import Lease
from jobd.store.queries import load
from jobd.store.transaction import Transaction

_SQL = load("claims.sql")

_METADATA = msgspec.json.Decoder(dict[str, str])

_PROCESSING = status_event(Status.PROCESSING)


def claim(tx: Transaction, free: Mapping[Lane, int], ahead: Ahead = NOTHING) -> None:
    """Lease jobs for the free slots of each lane and the cpu lane's room ahead.

    They are in `tx.leased`.
    """
    turn = _Turn(tx)
    for lane, slots in free.items():
        places = _Places(slots, ahead if lane == "cpu" and tx.ready.may_go_ahead else NOTHING)
        while places.left > 0 and (names := turn.queues(lane)):
            if picked := turn.pick(lane, names, places):
                _lease(tx, picked)


class _Places:
    """What a lane has left for the jobs of one transaction."""

    def __init__(self, slots: int, ahead: Ahead) -> None:
        self._slots, self._ahead = slots, ahead
        self._room = ahead.room

    @property
    def left(self) -> int:
        """How many jobs there may be places for."""
        return max(self._slots, Ahead(self._room, self._ahead.shares).places)

    def take(self, job: Claim) -> bool:
        """Use a place for a job; False if there is none for it, and then for no other."""
        limited = job.limited
        share = None if limited or stands_alone(job) else self._ahead.shares.get(job.kind)
        if self._slots > 0:
            self._slots -= 1
        elif share is None or share > self._room + ROUNDING:
            self._ahead = NOTHING
            return False
        self._room -= 1.0 if share is None else share
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

    def pick(self, lane: Lane, names: Sequence[str], places: _Places) -> list[Lease]:
        """Go once round the queues.

        Either the places are used up, or some queue will not be among `queues` again, or the
        head of one has been put right.
        """
        share = math.ceil(places.left / len(names))
        picked: list[Lease] = []
        for queue in names:
            wanted = int(min(share, places.left, self._spare[queue]))
            if not wanted:
                break
            picked += self._pick_from(lane, queue, wanted, places)
        return picked

    def _pick_from(self, lane: Lane, queue: str, wanted: int, places: _Places) -> list[Lease]:
        tx = self._tx
        rows = tx.rows(_SQL["pick"], lane=lane, queue=queue, wanted=wanted)
        able = self._able(lane, queue, rows)
        picked = able
        for number, lease in enumerate(able):
            if not places.take(lease.claim):
                picked = able[:number]
                break
        waits = len(picked) < len(able)
        empty = len(rows) < wanted
        if len(able) < len(rows):
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

    def _able(self, lane: Lane, queue: str, rows: Sequence[Sequence[Any]]) -> list[Lease]:
        """Return those of the picked that may start there, as they will be when leased."""
        tx, limited = self._tx, math.isfinite(self._spare[queue])
        return [
            _lease_of(row, token, lane, queue, limited=limited, now_ms=tx.now_ms)
            for row, token in zip(rows, new_tokens(len(rows)), strict=True)
            if _may_start(tx, lane, *row[:4])
        ]


def _may_start(
    tx: Transaction, lane: Lane, created_at: int, start_before: int | None, attempt: int, kind: str
) -> bool:
    doom = deadlines.doom(tx, created_at=created_at, start_before=start_before, attempt=attempt)
    return doom is None and parking.fits(tx, kind, lane)


def _lease_of(
    row: Sequence[Any], token: str, lane: Lane, queue: str, *, limited: bool, now_ms: int
) -> Lease:
    """Return the lease of a job, given as the statement `pick` returns it."""
    (
        _created_at,
        _start_before,
        attempt,
        kind,
        seq,
        job_id,
        max_attempts,
        timeout_ms,
        failures,
        crashes,
        interrupted,
        released,
        snoozes,
        args,
        metadata,
        traceparent,
        checkpoint,
        principal,
        callback_mask,
        retention_ms,
    ) = row
    claim = Claim(
        seq,
        job_id,
        token,
        kind,
        queue,
        lane,
        attempt + 1,
        max_attempts,
        timeout_ms,
        failures,
        crashes,
        interrupted,
        released,
        snoozes,
        args,
        {} if metadata == "{}" else _METADATA.decode(metadata),
        traceparent,
        checkpoint,
        now_ms,
        limited,
    )
    return Lease(claim, principal, callback_mask, retention_ms)


def _lease(tx: Transaction, picked: Sequence[Lease]) -> None:
    by_event = dict(zip(tx.next_event_ids(len(picked)), picked, strict=True))
    moves = [(one.claim.seq, one.claim.token, event) for event, one in by_event.items()]
    moved: Counter[tuple[str, Lane, str]] = Counter()
    for event_id in tx.changed(_SQL["lease"], moves, instance=tx.instance, now=tx.now_ms):
        claim, principal, callback_mask, _ = lease = by_event[event_id]
        tx.leased.append(lease)
        moved[principal, claim.lane, claim.queue] += 1
        event = Event(event_id, claim.seq, claim.job_id, _PROCESSING, tx.now_ms, claim.attempt)
        tx.happened(event, callback_mask)
    for whose, jobs in moved.items():
        tx.tally.moved(*whose, Status.QUEUED, Status.PROCESSING, jobs=jobs)
