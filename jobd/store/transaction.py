"""One transaction as the verbs see it: its time, its ids, what happened in it.

Ids are given out here, in Python, so that one statement can write several tables; the
writer takes them over only after COMMIT, with the events and claims. Verbs take lists and
run a handful of statements over JSON arrays, never one statement a row.

Not here: BEGIN and COMMIT (connection.py), the order of the verbs (batch.py).
"""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.events import Event, in_mask
from jobd.domain.jobs import Claim
from jobd.store.deliveries import NewDelivery, delete_messages, insert_messages
from jobd.store.queries import load
from jobd.store.ready import Ready
from jobd.store.rules import Rules
from jobd.store.tally import Tally

_SQL = load("events.sql")


class Ids(msgspec.Struct):
    """The newest seq and event id that were given out."""

    seq: int
    event: int


class State(msgspec.Struct, frozen=True):
    """What the writer knows between two commits."""

    ids: Ids
    ready: Ready
    tally: Tally = msgspec.field(default_factory=Tally)
    """Of all commits so far; a transaction reads it and notes its own moves elsewhere."""


class Times(msgspec.Struct, frozen=True):
    """What time it is, for one transaction."""

    now_ms: int
    """By the wall clock."""
    trusted_ms: int
    """By the wall clock as far as it is believed: what deletes or fails by age goes by it."""
    monotonic_s: Callable[[], float] = time.monotonic
    """What measures how long something takes."""


class Transaction:
    """What a verb needs to write, and what the transaction leaves to publish."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        times: Times,
        instance: int,
        state: State,
        new_id: Callable[[str, int], str],
        rules: Rules,
        runnable: Mapping[str, Lane] | None,
    ) -> None:
        self.now_ms = times.now_ms
        self.trusted_ms = times.trusted_ms
        self.monotonic_s = times.monotonic_s
        self.rules = rules
        self.runnable = runnable
        self.instance = instance
        self.ids = msgspec.structs.replace(state.ids)
        self.ready = state.ready.copy()
        self.standing = state.tally  # of the commits before this one: only to be read
        self.tally = Tally()
        self.events = list[Event]()
        self.claims = list[Claim]()
        self.messages = 0
        self.written_bytes = 0
        self._connection = connection
        self._new_id = new_id
        self._history = list[Event]()
        self._told = list[Event]()

    def next_seq(self) -> int:
        """Return a seq for a new job."""
        self.ids.seq += 1
        return self.ids.seq

    def next_event_id(self) -> int:
        """Return an id for an event; not using it leaves a gap, which is fine."""
        self.ids.event += 1
        return self.ids.event

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run a statement and return all its rows; undrained it would not be committed."""
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, values).fetchall()
        return rows

    def each(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each row: for values too large for an array."""
        self.written_bytes += sum(len(v) for row in rows for v in row if isinstance(v, bytes))
        self._connection.executemany(sql, rows)

    def array(self, rows: Sequence[Any]) -> str:
        """Return `rows` as the JSON array that a statement takes."""
        text = msgspec.json.encode(rows).decode()
        self.written_bytes += len(text)
        return text

    def happened(self, event: Event, callback_mask: int) -> None:
        """Note a change of a job: stored in this transaction, published after it.

        The job's callback is told of it if `callback_mask`, the job's, has its type.
        """
        self.events.append(event)
        self._history.append(event)
        if callback_mask and in_mask(callback_mask, event.type):
            self._told.append(event)

    def moved_on(self, event: Event) -> None:
        """Note progress: published after this transaction, kept in no history."""
        self.events.append(event)

    def save_history(self) -> None:
        """Store the events that happened since the last call, and the messages of them."""
        if self._history:
            rows = [(e.id, e.seq, e.type, e.at_ms, e.attempt, _data(e)) for e in self._history]
            self.rows(_SQL["add_events"], events=self.array(rows))
            self._history = []
        if self._told:
            self._tell(self._told)
            self._told = []

    def _tell(self, events: Sequence[Event]) -> None:
        seqs = self.array(list({event.seq for event in events}))
        to = {seq: whom for seq, *whom in self.rows(_SQL["callbacks"], seqs=seqs)}
        messages = [self._message(event, *to[event.seq]) for event in events]
        insert_messages(self._connection, messages)
        self.messages += len(messages)

    def _message(self, event: Event, principal: str, url: str) -> NewDelivery:
        return NewDelivery(
            message_id=self._new_id("msg_", self.now_ms),
            delivery_id=self._new_id("dlv_", self.now_ms),
            seq=event.seq,
            event_id=event.id,
            type=event.type,
            at_ms=event.at_ms,
            url=url,
            principal=principal,
        )

    def drop_messages(self, seqs: Collection[int]) -> None:
        """Delete what jobs that are deleted had to tell, whether it has arrived or not."""
        delete_messages(self._connection, seqs)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo, in the database and here, what the block did if it raises."""
        ids, ready = msgspec.structs.replace(self.ids), self.ready.copy()
        tally = self.tally.copy()
        events, claims, messages = len(self.events), len(self.claims), self.messages
        self._connection.execute("SAVEPOINT item")
        try:
            yield
            self.save_history()
        except BaseException:
            self.ids, self.ready, self.messages = ids, ready, messages
            self.tally = tally
            self._history, self._told = [], []
            del self.events[events:], self.claims[claims:]
            # false after a full disk or an I/O error: then nothing of the transaction is left
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO item")
                self._connection.execute("RELEASE item")
            raise
        self._connection.execute("RELEASE item")


def _data(event: Event) -> str:
    return msgspec.json.encode(event.data).decode() if event.data else "{}"
