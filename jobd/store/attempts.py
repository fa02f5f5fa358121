"""What a running attempt writes on its way: progress and checkpoints, fenced by its token.

Progress takes an id from the sequence of the events, but is no history: the next report
replaces it and the end of the attempt drops it.

Not here: how an attempt ends (jobs.py), how often it may report (engine/progress.py).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from jobd.domain.errors import JobdError, LeaseLost
from jobd.domain.events import Event
from jobd.domain.jobs import Checkpoint, Update
from jobd.store.queries import load
from jobd.store.transaction import Transaction

_SQL = load("attempts.sql")


def report(tx: Transaction, updates: Sequence[Update]) -> list[JobdError | None]:
    """Store the newest progress of each attempt; LeaseLost for those that hold no lease."""
    newest = {update.token: update for update in updates}
    tx.leases.mark(newest)
    by_event = {tx.next_event_id(): update for update in newest.values()}
    rows = [(u.seq, u.token, event_id, *_fields(u)) for event_id, u in by_event.items()]
    written = sorted(tx.rows(_SQL["put_progress"], updates=tx.array(rows), now=tx.now_ms))
    for event_id, seq, job_id, attempt in written:
        progress = msgspec.to_builtins(by_event[event_id].progress)
        said = {name: value for name, value in progress.items() if value is not None}
        tx.moved_on(Event(event_id, seq, job_id, "job.progress", tx.now_ms, attempt, said))
    held = {by_event[row[0]].token for row in written}
    return [None if update.token in held else lease_lost() for update in updates]


def save(tx: Transaction, checkpoints: Sequence[Checkpoint]) -> list[JobdError | None]:
    """Store the newest checkpoint of each attempt; LeaseLost for those that hold no lease."""
    tx.leases.mark(one.token for one in checkpoints)
    leases = tx.array([(one.seq, one.token) for one in checkpoints])
    held = {token for (token,) in tx.rows(_SQL["leases_held"], leases=leases)}
    newest = {one.seq: one.data for one in checkpoints if one.token in held}
    if newest:
        tx.each(_SQL["put_checkpoint"], list(newest.items()))
    return [None if one.token in held else lease_lost() for one in checkpoints]


def _fields(update: Update) -> tuple[Any, ...]:
    p = update.progress
    return (p.pct, p.done, p.total, p.step, p.step_index, p.step_count, p.message)


def lease_lost() -> LeaseLost:
    """Return the answer to a write under a stale token."""
    return LeaseLost("lease_lost", "The attempt is over: its lease is not the job's any more.")
