"""One transaction as the verbs see it: its time, its ids, what happened in it.

Ids are given out here, in Python, so that one statement can write several tables; the
writer takes them over only after COMMIT, with the events and claims. Verbs take lists and
run a handful of statements over JSON arrays or many rows of VALUES, never one a row.

Not here: BEGIN and COMMIT (connection.py), the order of the verbs (batch.py).
"""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.deliveries import Payload
from jobd.domain.endpoints import Endpoint, Endpoints, Outright
from jobd.domain.events import Event, in_mask
from jobd.store.leases import Lease, Leases
from jobd.store.outbox import (
    DEAD_KEPT_MS,
    NewDelivery,
    delete_expired,
    delete_messages,
    detach_dead,
    insert_messages,
)
from jobd.store.queries import for_rows, load
from jobd.store.ready import Ready
from jobd.store.rules import Rules
from jobd.store.tally import Tally

_SQL = load("events.sql")

_ROWS_AT_ONCE = 64
"""Of one statement; it is prepared once for each power of two up to this."""

_COLUMN_BYTES = 8
"""What a column of a row takes, roughly, but for the wide ones."""


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
    leases: Leases = msgspec.field(default_factory=Leases)
    """After all commits so far; a transaction notes elsewhere what it gives and ends."""
    endpoints: Endpoints = msgspec.field(default_factory=Endpoints)


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
        self.leases = state.leases
        self.leased = list[Lease]()
        self.ended = list[str]()
        """Tokens of settlements, also of those that were not written."""
        self._endpoints = state.endpoints
        self._wanted = state.endpoints.types
        self.receivers = dict[str, None]()
        """Whom there is something for, or of whom something has changed."""
        self.written_bytes = 0
        self._connection = connection
        self._new_id = new_id
        self._history = list[Event]()
        self._told = list[tuple[Event, bool]]()
        """What endpoints may want to be told, and whether the job's callback is."""

    @property
    def endpoints(self) -> Endpoints:
        """Those that this transaction will leave, as far as it has come."""
        return self._endpoints

    @endpoints.setter
    def endpoints(self, endpoints: Endpoints) -> None:
        self._endpoints, self._wanted = endpoints, endpoints.types

    def next_seq(self) -> int:
        """Return a seq for a new job."""
        self.ids.seq += 1
        return self.ids.seq

    def next_event_id(self) -> int:
        """Return an id for an event; not using it leaves a gap, which is fine."""
        self.ids.event += 1
        return self.ids.event

    def next_event_ids(self, count: int) -> range:
        """Return ids for so many events, in their order."""
        first = self.ids.event + 1
        self.ids.event += count
        return range(first, first + count)

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Run a statement and return all its rows; undrained it would not be committed."""
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, values).fetchall()
        return rows

    def changed(self, sql: str, moves: Sequence[Sequence[Any]], **values: Any) -> Collection[int]:
        """Run an UPDATE of jobs over the array `moves`; return the event ids of those it made.

        A move begins with the job's seq and ends with the id of its event, which the
        statement must write into the row: with RETURNING the statement would cost half as
        much again, and nearly always all are made.
        """
        cursor = self._connection.execute(sql, {"moves": self.array(moves), **values})
        if cursor.rowcount == len(moves):
            return [move[-1] for move in moves]
        asked = self.array([(move[0], move[-1]) for move in moves])
        return [event_id for (event_id,) in self.rows(_SQL["moved"], moves=asked)]

    def put(self, sql: str, rows: Sequence[Sequence[Any]], *, wide_bytes: int = 0) -> None:
        """Run a statement that ends with one row of VALUES for all `rows`.

        `wide_bytes` is the size of what is in their wide columns.
        """
        begin = 0
        while begin < len(rows):
            many = min(_ROWS_AT_ONCE, 1 << (len(rows) - begin).bit_length() - 1)
            values = [*chain.from_iterable(rows[begin : begin + many])]
            self._connection.execute(for_rows(sql, many), values)
            self.written_bytes += _COLUMN_BYTES * len(values)
            begin += many
        self.written_bytes += wide_bytes

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

        The job's callback is told of it if `callback_mask`, the job's, has its type; beside
        it whatever endpoints want it.
        """
        self.events.append(event)
        self._history.append(event)
        if callback_mask and in_mask(callback_mask, event.type):
            self._told.append((event, True))
        elif self._wanted and event.type in self._wanted:
            self._told.append((event, False))

    def moved_on(self, event: Event) -> None:
        """Note progress: published after this transaction, kept in no history."""
        self.events.append(event)

    def save_history(self) -> None:
        """Store the events that happened since the last call, and the messages of them."""
        if self._history:
            rows = [
                (e.id, e.seq, e.type, e.at_ms, e.attempt, _json(e.data) if e.data else "{}")
                for e in self._history
            ]
            self.put(_SQL["add_events"], rows, wide_bytes=sum(len(row[-1]) for row in rows))
            self._history = []
        if self._told:
            self._tell(self._told)
            self._told = []

    def _tell(self, told: Sequence[tuple[Event, bool]]) -> None:
        seqs = self.array(list({event.seq for event, _ in told}))
        about = {seq: rest for seq, *rest in self.rows(_SQL["told"], seqs=seqs)}
        deliveries: list[NewDelivery] = []
        for event, by_callback in told:
            principal, kind, queue, url = about[event.seq]
            wanted = self.endpoints.told(principal, event.type, kind, queue)
            callback = url if by_callback else None
            deliveries += self._deliveries(event, principal, callback, wanted)
        self._insert(deliveries)

    def tell(self, event: Event, principal: str, url: str | None) -> None:
        """Write the message of an event that is none of a job: no history has it.

        It goes to `url` if there is one, and to the endpoints that want it.
        """
        wanted = self.endpoints.told(principal, event.type, None, None)
        self._insert(self._deliveries(event, principal, url, wanted))

    def tell_outright(self, message: Outright) -> str:
        """Write a message about no job, due at once; return the id of its delivery."""
        delivery = NewDelivery(
            self._new_id("msg_", self.now_ms),
            self._new_id("dlv_", self.now_ms),
            seq=0,
            event_id=0,
            type=message.type,
            at_ms=self.now_ms,
            url=message.url,
            principal=message.principal,
            endpoint_id=message.endpoint_id,
        )
        self._insert([delivery], message.body)
        return delivery.delivery_id

    def _deliveries(
        self, event: Event, principal: str, url: str | None, endpoints: Sequence[Endpoint]
    ) -> list[NewDelivery]:
        """Return one message of an event, as the deliveries to all who are told of it."""
        if url is None and not endpoints:
            return []
        message_id = self._new_id("msg_", self.now_ms)
        of_job = event.seq > 0

        def to(url: str, endpoint_id: str | None, payload: Payload) -> NewDelivery:
            return NewDelivery(
                message_id,
                self._new_id("dlv_", self.now_ms),
                event.seq,
                event.id,
                event.type,
                event.at_ms,
                url,
                principal,
                endpoint_id,
                payload,
                event.job_id,
            )

        deliveries = [] if url is None else [to(url, None, "notice")]
        return deliveries + [
            to(one.url, one.endpoint_id, one.payload if of_job else "notice") for one in endpoints
        ]

    def _insert(self, deliveries: Sequence[NewDelivery], body: bytes | None = None) -> None:
        insert_messages(self._connection, deliveries, body)
        self.receivers |= dict.fromkeys(one.receiver for one in deliveries)

    def drop_messages(self, seqs: Collection[int], *, keep_dead: bool = False) -> None:
        """Delete what jobs that are deleted had to tell, whether it has arrived or not.

        With `keep_dead` the dead letters stay for their time.
        """
        if keep_dead:
            detach_dead(self._connection, seqs, self.trusted_ms - DEAD_KEPT_MS)
        delete_messages(self._connection, seqs)

    def drop_expired_messages(self, limit: int) -> int:
        """Delete up to so many deliveries about no job whose time is over; return how many."""
        return delete_expired(self._connection, self.trusted_ms - DEAD_KEPT_MS, limit)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo, in the database and here, what the block did if it raises."""
        ids, ready = msgspec.structs.replace(self.ids), self.ready.copy()
        tally = self.tally.copy()
        events, leased = len(self.events), len(self.leased)
        endpoints, receivers = self.endpoints, self.receivers.copy()
        self._connection.execute("SAVEPOINT item")
        try:
            yield
            self.save_history()
        except BaseException:
            self.ids, self.ready, self.tally = ids, ready, tally
            self.endpoints, self.receivers = endpoints, receivers
            self._history, self._told = [], []
            del self.events[events:], self.leased[leased:]
            # false after a full disk or an I/O error: then nothing of the transaction is left
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO item")
                self._connection.execute("RELEASE item")
            raise
        self._connection.execute("RELEASE item")


def _json(data: Mapping[str, Any]) -> str:
    return msgspec.json.encode(data).decode()
