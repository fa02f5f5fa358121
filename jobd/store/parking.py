"""Parking: queued jobs whose kind cannot run are taken out of the way of the claims.

Left where they are, the jobs of a plugin that is gone would be walked over by each claim.
Parked they cost one look each, and wait for their plugin to come back, for as long as the
settings allow. A kind that has changed its lane takes its jobs with it.

Not here: when their time is over (deadlines.py), which kinds can run (engine/kinds.py).
"""

from collections.abc import Mapping, Sequence

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.statuses import Status
from jobd.store import deadlines
from jobd.store.queries import load
from jobd.store.transaction import Transaction

AT_ONCE = 500
"""Jobs looked at in one transaction; more would hold up the writer."""

_SQL = load("parking.sql")


class Place(msgspec.Struct, frozen=True):
    """Where a walk over the parked jobs has come to."""

    parked_at_ms: int
    seq: int


START = Place(0, 0)


def fits(tx: Transaction, kind: str, lane: Lane) -> bool:
    """Whether a job of the kind can run in the lane, as far as that is known."""
    return tx.runnable is None or tx.runnable.get(kind) == lane


def clear_head(tx: Transaction, lane: Lane, queue: str, limit: int) -> None:
    """Take what may not start there out of the first `limit` jobs of a lane's queue.

    What has missed a deadline is failed. Of the rest, jobs whose kind cannot run are parked,
    and those of a kind that runs in another lane now go there. The others stay.
    """
    kinds: dict[int, str] = {}
    doomed: list[deadlines.Doomed] = []
    for seq, kind, created_at, start_before, attempt in tx.rows(
        _SQL["head"], lane=lane, queue=queue, limit=limit
    ):
        code = deadlines.doom(tx, created_at=created_at, start_before=start_before, attempt=attempt)
        if code is None:
            kinds[seq] = kind
        else:
            doomed.append(deadlines.Doomed(seq, code))
    deadlines.fail(tx, doomed)
    _put_right(tx, lane, kinds)


def _put_right(tx: Transaction, lane: Lane, kinds: Mapping[int, str]) -> None:
    if tx.runnable is None:
        return
    gone = [seq for seq, kind in kinds.items() if kind not in tx.runnable]
    if gone:
        tx.rows(_SQL["park"], seqs=tx.array(gone), now=tx.trusted_ms)
    moved = {
        seq: tx.runnable[kind] for seq, kind in kinds.items() if tx.runnable.get(kind, lane) != lane
    }
    _move(tx, dict.fromkeys(moved, lane), moved)


def unpark(tx: Transaction, places: Sequence[Place]) -> list[Place | None]:
    """Queue the parked jobs behind each place whose kind can run again, some at a time.

    Answers in order where to go on; None at the end, or while the kinds are not known.
    """
    return [_unpark(tx, place) for place in places]


def _unpark(tx: Transaction, place: Place) -> Place | None:
    if tx.runnable is None:
        return None
    rows = tx.rows(_SQL["parked"], at=place.parked_at_ms, seq=place.seq, limit=AT_ONCE)
    back = {seq: tx.runnable[kind] for _, seq, kind, _ in rows if kind in tx.runnable}
    _move(tx, {seq: lane for _, seq, _, lane in rows}, back)
    return Place(*rows[-1][:2]) if len(rows) == AT_ONCE else None


def _move(tx: Transaction, old: Mapping[int, Lane], new: Mapping[int, Lane]) -> None:
    if not new:
        return
    for seq, principal, lane, queue in tx.rows(_SQL["move"], moves=tx.array(list(new.items()))):
        tx.ready.add(lane, queue)
        if lane != old[seq]:
            tx.tally.moved(principal, old[seq], queue, Status.QUEUED, None)
            tx.tally.moved(principal, lane, queue, None, Status.QUEUED)
