"""Deadlines: jobs that wait too long are failed, without a charge.

A job is over when it is older than `jobs.max_age_s` (`expired`), when its first attempt has
not begun by its `start_before` (`start_deadline`), or when it has been parked for longer
than `jobs.handler_missing_s` (`handler_missing`). What goes by age goes by trusted time: a
clock that is set forward by mistake must not fail everything.

Looked at wherever a waiting job is moved, and by `expire` for those that nothing moves.

Not here: jobs that run (their timeout ends each attempt), when to look (engine/scheduler.py).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.deadlines import Doom, waited_too_long
from jobd.domain.events import Event, status_event
from jobd.domain.statuses import Status
from jobd.store import results
from jobd.store.queries import load
from jobd.store.transaction import Transaction

EXPIRED_AT_ONCE = 500
"""Overdue jobs in one transaction; more would hold up the writer."""

DOUBTED_MS = 3_600_000
"""While the wall clock is doubted, look again so soon: it may be believed by then."""

SHORTEST_LOOK_MS = 60_000
"""Parking tells nobody, so that the next look is never later than a job parked now is over
by; but it is not sooner than this for the sake of one that may never come."""

_SQL = load("deadlines.sql")


class Doomed(NamedTuple):
    """A job to be failed, and why; nothing happens to one that is not in `status` any more."""

    seq: int
    code: Doom
    status: Status = Status.QUEUED


def doom(
    tx: Transaction, *, created_at: int, start_before: int | None, attempt: int
) -> Doom | None:
    """Return the deadline that a job which is to be queued or started has missed, if any."""
    if created_at + tx.rules.max_age_ms <= tx.trusted_ms:
        return "expired"
    if attempt == 0 and start_before is not None and start_before <= tx.now_ms:
        return "start_deadline"
    return None


def end_ms(tx: Transaction, *, created_at: int, start_before: int | None, attempt: int) -> int:
    """Return when a job that is queued will be overdue, by the wall clock."""
    too_old = by_wall_ms(tx, created_at + tx.rules.max_age_ms)
    return too_old if attempt or start_before is None else min(too_old, start_before)


def fail(tx: Transaction, doomed: Sequence[Doomed]) -> None:
    """Fail jobs that wait: scheduled, queued (parked or not) or retrying. Charges nothing."""
    if not doomed:
        return
    by_event = {tx.next_event_id(): one for one in doomed}
    asked = [(event_id, one.seq, one.status) for event_id, one in by_event.items()]
    kept: list[results.Kept] = []
    rows = tx.rows(_SQL["fail"], doomed=tx.array(asked), now=tx.now_ms)
    for event_id, seq, job_id, kind, principal, lane, queue, attempt, expires_at, mask in sorted(
        rows
    ):
        one = by_event[event_id]
        error = waited_too_long(one.code, kind, attempt)
        kept.append(results.Kept(seq, error))
        tx.tally.moved(principal, lane, queue, one.status, Status.FAILED)
        data: dict[str, Any] = {"expires_at_ms": expires_at, "error": msgspec.to_builtins(error)}
        type_ = status_event(Status.FAILED)
        tx.happened(Event(event_id, seq, job_id, type_, tx.now_ms, attempt, data), mask)
    results.keep(tx, kept)
    results.drop(tx, ended=(), terminal=[one.seq for one in kept])


def expire(tx: Transaction) -> int:
    """Fail what is overdue among queued jobs; return when to look again, by the wall clock.

    That is now if any was failed: there may be more. Jobs that are queued later, but for
    those that come back from elsewhere, are not overdue sooner than that.
    """
    heads = list(_heads(tx))
    doomed = _overdue(tx, heads)
    fail(tx, doomed)
    return tx.now_ms if doomed else _next(tx, heads)


def by_wall_ms(tx: Transaction, trusted_ms: int) -> int:
    """Return when it is that late by trusted time, or when to look again if that is doubted."""
    later = trusted_ms - tx.trusted_ms
    return tx.now_ms + (later if tx.trusted_ms >= tx.now_ms else min(later, DOUBTED_MS))


class _Head(NamedTuple):
    """The first job of those of one lane, queue and priority; as good as their oldest."""

    lane: Lane
    queue: str
    priority: int
    created_at: int


def _heads(tx: Transaction) -> Iterator[_Head]:
    """Yield all heads, at the cost of one look-up each, however many jobs wait."""
    lane, queue, priority = "", "", 0
    while rows := tx.rows(_SQL["next_head"], lane=lane, queue=queue, from_priority=priority):
        head = _Head(*rows[0])
        yield head
        lane, queue, priority = head.lane, head.queue, head.priority + 1


def _overdue(tx: Transaction, heads: Sequence[_Head]) -> list[Doomed]:
    rules, codes = tx.rules, dict[int, Doom]()

    def note(code: Doom, statement: str, **values: Any) -> None:
        for (seq,) in tx.rows(_SQL[statement], limit=EXPIRED_AT_ONCE, **values):
            codes.setdefault(seq, code)

    born_by = tx.trusted_ms - rules.max_age_ms
    note("expired", "old_parked", born_by=born_by)
    for head in heads:
        if head.created_at <= born_by and len(codes) < EXPIRED_AT_ONCE:
            about = {"lane": head.lane, "queue": head.queue, "priority": head.priority}
            note("expired", "old_queued", born_by=born_by, **about)
    note("start_deadline", "not_started", now=tx.now_ms)
    note("handler_missing", "long_parked", parked_by=tx.trusted_ms - rules.handler_missing_ms)
    return [Doomed(seq, code) for seq, code in codes.items()][:EXPIRED_AT_ONCE]


def _next(tx: Transaction, heads: Sequence[_Head]) -> int:
    rules = tx.rules
    ((start_before, parked_at, parked_born_at),) = tx.rows(_SQL["next_deadlines"])
    new_one = min(rules.max_age_ms, max(rules.handler_missing_ms, SHORTEST_LOOK_MS))
    by_trusted = [tx.trusted_ms + new_one]
    by_trusted += [head.created_at + rules.max_age_ms for head in heads]
    if parked_at is not None:
        by_trusted += [parked_at + rules.handler_missing_ms, parked_born_at + rules.max_age_ms]
    next_ms = by_wall_ms(tx, min(by_trusted))
    return next_ms if start_before is None else min(next_ms, start_before)
