"""One commit's worth of work: what was waiting when the writer looked, in a fixed order.

Settle comes before claim, so that a slot is free before it is filled; insert before
promote and claim, so that a new job can start in its own commit. If a statement fails
because of what an item holds, the batch is rolled back and written again item by item:
the offender gets the error, the others commit.

Not here: when a batch is taken and answered (writer.py), the verbs themselves.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from jobd.domain.ahead import NOTHING, Ahead
from jobd.domain.catalog import Lane
from jobd.domain.events import Event
from jobd.domain.jobs import Claim
from jobd.store import (
    attempts,
    batches,
    claims,
    deadlines,
    endpoints,
    finished,
    jobs,
    moves,
    parking,
    queues,
    retention,
    uploads,
)
from jobd.store.connection import primary_code, schema_gone
from jobd.store.leases import Lease
from jobd.store.queries import load
from jobd.store.rules import Rules
from jobd.store.tally import Tally
from jobd.store.transaction import State, Times, Transaction

log = logging.getLogger(__name__)

_META = load("meta.sql")

_ITEMS_FAULT = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_MISUSE,
}


class Item(NamedTuple):
    """One request to the writer and who waits for its answer."""

    verb: str
    request: Any
    answer: asyncio.Future[Any]
    asked_s: float = 0.0
    """By the monotonic clock."""


class Free(NamedTuple):
    """What jobs are claimed for: the free slots of each lane, and the cpu lane's room ahead."""

    slots: Mapping[Lane, int]
    ahead: Ahead = NOTHING


class Committed(msgspec.Struct, frozen=True):
    """What a commit made true; `answers` hold a value or an exception for each item."""

    state: State
    moved: Tally
    """What it changed in the state's tally; to be added there once it is committed."""
    answers: list[tuple[Item, Any]]
    events: list[Event]
    leased: list[Lease]
    ended: list[str]
    """Tokens of settlements."""
    receivers: Collection[str]
    """Whom there is something for, or of whom something has changed."""
    written_bytes: int

    def take_over(self) -> State:
        """Return the state after the commit, with what was moved in it; call it once."""
        state = self.state
        state.tally.add(self.moved)
        state.leases.committed(self.leased, self.ended)
        return state

    @property
    def claims(self) -> list[Claim]:
        """What is to be run."""
        return [lease.claim for lease in self.leased]


def _once(act: Callable[[Transaction], Any]) -> Callable[[Transaction, Sequence[Any]], list[Any]]:
    """Make a verb without a subject one that takes a list: it acts once and answers all."""
    return lambda tx, requests: [act(tx)] * len(requests)


def _save_catalog(tx: Transaction, bodies: Sequence[bytes]) -> list[None]:
    tx.rows(_META["save_meta"], key="catalog", value=bodies[-1])
    return [None] * len(bodies)


VERBS: dict[str, Callable[[Transaction, Sequence[Any]], Sequence[Any]]] = {
    # before all that happens to jobs: whom that is told to is settled then
    "endpoints": endpoints.change,
    "recover": _once(moves.recover),
    "settle": jobs.settle,
    "progress": attempts.report,
    "checkpoint": attempts.save,
    "cancel": moves.cancel,
    "set_queue": queues.change,
    "delete": finished.delete,
    # removed after it is added: a file that the same batch takes is not unlinked after it
    "add_upload": uploads.add,
    "submit": jobs.enqueue,
    "begin_batch": batches.begin,
    "add_to_batch": batches.add,
    "load_batch": batches.loaded,
    "retry": finished.retry,
    "remove_upload": uploads.remove,
    "retire_upload": uploads.retire,
    "retire_jobs": retention.retire_jobs,
    "retire_keys": retention.retire_keys,
    "promote": _once(moves.promote),
    "expire": _once(deadlines.expire),
    "unpark": parking.unpark,
    "tell": endpoints.tell,
    "save_catalog": _save_catalog,
}
"""In the order of every transaction; the claim follows. A verb answers each of its requests."""

ADDS = frozenset(
    {"submit", "retry", "add_upload", "checkpoint", "progress", "begin_batch", "add_to_batch"}
)
"""Refused while the disk is full: the room that is left is for what ends things."""

CAN_WAIT = frozenset({"promote", "unpark", "save_catalog"})
"""Kept until there is room: nothing would start by them before."""


class Batch:
    """Items to be written in one transaction, and the free slots to claim for."""

    def __init__(
        self,
        items: Iterable[Item],
        *,
        free: Free,
        state: State,
        times: Times,
        instance: int,
        new_id: Callable[[str, int], str],
        rules: Rules,
        runnable: Mapping[str, Lane] | None,
    ) -> None:
        self.items = list(items)
        self._free = free
        self._state = state
        self._times = times
        self._instance = instance
        self._new_id = new_id
        self._rules = rules
        self._runnable = runnable
        self._by_verb: dict[str, list[Item]] = {verb: [] for verb in VERBS}
        for item in self.items:
            self._by_verb[item.verb].append(item)

    def together(self, connection: sqlite3.Connection) -> Committed:
        """Write all of it in a few statements; raises if any item cannot be written."""
        tx = self._transaction(connection)
        answers: list[tuple[Item, Any]] = []
        for verb, act in VERBS.items():
            if items := self._by_verb[verb]:
                outcomes = act(tx, [item.request for item in items])
                answers += zip(items, outcomes, strict=True)
        return self._finish(tx, answers)

    def one_by_one(self, connection: sqlite3.Connection) -> Committed:
        """Write each item under a savepoint; one that cannot be written gets its error."""
        tx = self._transaction(connection)
        answers = [
            (item, _alone(tx, act, item))
            for verb, act in VERBS.items()
            for item in self._by_verb[verb]
        ]
        return self._finish(tx, answers)

    @property
    def _deletes(self) -> bool:
        return bool(self._by_verb["delete"] or self._by_verb["retire_jobs"])

    def _transaction(self, connection: sqlite3.Connection) -> Transaction:
        return Transaction(
            connection,
            times=self._times,
            instance=self._instance,
            state=self._state,
            new_id=self._new_id,
            rules=self._rules,
            runnable=self._runnable,
        )

    def _finish(self, tx: Transaction, answers: list[tuple[Item, Any]]) -> Committed:
        claims.claim(tx, self._free.slots, self._free.ahead)
        tx.save_history()
        if tx.tally.finished or self._deletes:  # deletions take from what has finished
            batches.finish(tx)
        return Committed(
            state=State(tx.ids, tx.ready, self._state.tally, self._state.leases, tx.endpoints),
            moved=tx.tally,
            answers=answers,
            events=tx.events,
            leased=tx.leased,
            ended=tx.ended,
            receivers=tx.receivers,
            written_bytes=tx.written_bytes,
        )


def _alone(
    tx: Transaction, act: Callable[[Transaction, Sequence[Any]], Sequence[Any]], item: Item
) -> Any:
    try:
        with tx.savepoint():
            (outcome,) = act(tx, [item.request])
    except Exception as error:
        if not blames_an_item(error):
            raise
        log.exception("An item cannot be written; this is a bug.", extra={"verb": item.verb})
        return error
    return outcome


def blames_an_item(error: BaseException) -> bool:
    """Whether an error comes from what was to be written, not from the database or the disk."""
    if isinstance(error, sqlite3.Error):
        code = primary_code(error)
        return (code is None or code in _ITEMS_FAULT) and not schema_gone(error)
    return isinstance(error, Exception)
