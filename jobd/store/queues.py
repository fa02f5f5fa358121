"""Queues: whether jobs of one may start, what is in it, and the changes that people make.

A queue has a row once somebody has paused it or set its limit; else the settings count.

Not here: which queue is served next (ready.py), the claim itself (claims.py).
"""

import math
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import get_args

import msgspec
from msgspec import UNSET

from jobd.domain.catalog import Lane
from jobd.domain.queues import Queue, QueueChange, QueueState
from jobd.store.queries import load
from jobd.store.ready import Ready
from jobd.store.transaction import Transaction

_SQL = load("queues.sql")


class _Row(msgspec.Struct):
    """A queue's row as it will be."""

    name: str
    concurrency: int | None = None
    concurrency_set: int = 0
    paused: int = 0


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


def change(tx: Transaction, changes: Sequence[QueueChange]) -> list[None]:
    """Pause, resume, set limits: from this transaction's claim on; what runs goes on."""
    names = tx.array(list({one.name for one in changes}))
    rows = {row[0]: _Row(*row) for row in tx.rows(_SQL["rows"], names=names)}
    for one in changes:
        row = rows.setdefault(one.name, _Row(one.name))
        if one.paused is not None:
            row.paused = int(one.paused)
        if one.concurrency is not UNSET:
            row.concurrency, row.concurrency_set = one.concurrency, 1
        tx.ready.changed(one.name)
    tx.rows(_SQL["save"], rows=tx.array([msgspec.structs.astuple(row) for row in rows.values()]))
    return [None] * len(changes)


def spare(tx: Transaction, names: Collection[str]) -> dict[str, float]:
    """Return how many more jobs of each queue may start, as this transaction has it."""
    spare = {name: math.inf for name in names if tx.ready.is_open(name)}
    unknown = [name for name in names if name not in spare]
    if unknown:
        rows = tx.rows(_SQL["states"], names=_asked(unknown, tx.rules.concurrency))
        for name, paused, *limits in rows:
            spare[name] = QueueState(bool(paused), *limits).spare
            if spare[name] == math.inf:
                tx.ready.opened(name)
    return spare


def states(
    connection: sqlite3.Connection, names: Collection[str], settings: Mapping[str, int]
) -> dict[str, QueueState]:
    """Return what decides whether jobs of these queues may start; `settings` are limits."""
    rows = connection.execute(_SQL["states"], {"names": _asked(names, settings)}).fetchall()
    return {name: QueueState(bool(paused), *limits) for name, paused, *limits in rows}


def contents(
    connection: sqlite3.Connection, names: Collection[str], settings: Mapping[str, int]
) -> list[Queue]:
    """Return these queues by name, each with what is in it; for a reader, as it counts."""
    parked = {name: rest for name, *rest in connection.execute(_SQL["parked"]).fetchall()}
    limits = states(connection, names, settings)
    counted = connection.execute(_SQL["contents"], {"names": _array(sorted(names))}).fetchall()
    queues = []
    for name, ready, processing, ready_since in counted:
        parked_jobs, parked_since = parked.get(name, (0, None))
        queues.append(
            Queue(
                name=name,
                concurrency=limits[name].concurrency,
                paused=limits[name].paused,
                queued=ready + parked_jobs,
                processing=processing,
                oldest_since_ms=_earlier(ready_since, parked_since),
            )
        )
    return queues


def names_in_use(connection: sqlite3.Connection) -> set[str]:
    """Return the queues that have a row, or a job that waits in them or runs."""
    names = {row[0] for row in connection.execute(_SQL["parked"]).fetchall()}
    for statement in (_SQL["names_with_rows"], _SQL["names_processing"]):
        names |= {row[0] for row in connection.execute(statement).fetchall()}
    ready = find_ready(connection)
    for lane in get_args(Lane):
        names |= set(ready.queues(lane))
    return names


def _asked(names: Collection[str], settings: Mapping[str, int]) -> str:
    return _array([(name, settings.get(name)) for name in names])


def _array(values: Sequence[object]) -> str:
    return msgspec.json.encode(values).decode()


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((at for at in (one, other) if at is not None), default=None)
