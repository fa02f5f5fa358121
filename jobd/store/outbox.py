"""The outbox: a message and its deliveries are written in the transaction of their event.

A message is one event, whoever is told of it; a delivery brings it to one receiver.

Not here: who is told (transaction.py, domain/endpoints.py), the sending and what comes of it
(deliveries.py).
"""

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from jobd.domain.deliveries import Payload, receiver_of
from jobd.store.queries import load

_SQL = load("outbox.sql")

DEAD_KEPT_MS = 7 * 24 * 3600 * 1000
"""How long a dead letter is kept, and all that is about no job, once it is over."""


class NewDelivery(NamedTuple):
    """One event to be told of at one URL; rows with the same message_id share the message.

    To an endpoint, or without one to a callback. A message about no job has seq 0, and its
    body from the beginning.
    """

    message_id: str
    delivery_id: str
    seq: int
    event_id: int
    type: str
    at_ms: int
    url: str
    principal: str
    endpoint_id: str | None = None
    payload: Payload = "notice"
    subject: str | None = None

    @property
    def receiver(self) -> str:
        """Who is dialled."""
        return self.endpoint_id or receiver_of(self.url)


def insert_messages(
    connection: sqlite3.Connection, rows: Sequence[NewDelivery], body: bytes | None = None
) -> None:
    """Store messages and their deliveries, in the transaction of the events they tell of."""
    if rows:
        messages = {
            one.message_id: (
                one.message_id,
                one.seq,
                one.event_id,
                one.type,
                one.at_ms,
                one.subject,
            )
            for one in rows
        }
        deliveries = [
            (
                one.message_id,
                one.delivery_id,
                one.seq,
                one.at_ms,
                one.url,
                one.principal,
                one.receiver,
                one.endpoint_id,
                one.payload,
            )
            for one in rows
        ]
        array = _array([*messages.values()])
        connection.execute(_SQL["add_messages"], {"messages": array, "body": body})
        connection.execute(_SQL["add_deliveries"], {"deliveries": _array(deliveries)})


def detach_dead(connection: sqlite3.Connection, seqs: Collection[int], since_ms: int) -> None:
    """Keep the dead letters since then of jobs that are deleted: they are about no job now.

    Those that were rendered: they can be sent once more without their job.
    """
    values = {"seqs": _array(seqs), "since": since_ms}
    rows = connection.execute(_SQL["detach"], values).fetchall()
    if rows:
        ids = _array(list({message_id for (message_id,) in rows}))
        connection.execute(_SQL["detach_messages"], {"message_ids": ids})


def delete_messages(connection: sqlite3.Connection, seqs: Collection[int]) -> None:
    """Delete all messages and deliveries of these jobs, in the transaction that deletes them."""
    array = {"seqs": _array(seqs)}
    for statement in ("drop_attempts", "drop_deliveries", "drop_messages"):
        connection.execute(_SQL[statement], array)


def delete_expired(connection: sqlite3.Connection, ended_by_ms: int, limit: int) -> int:
    """Delete up to so many deliveries about no job that ended by then; return how many."""
    values = {"ended_by": ended_by_ms, "limit": limit}
    rows = connection.execute(_SQL["drop_expired"], values).fetchall()
    if rows:
        ids = {"delivery_ids": _array([delivery_id for delivery_id, _ in rows])}
        connection.execute(_SQL["drop_attempts_of"], ids)
        messages = _array(list({message_id for _, message_id in rows}))
        connection.execute(_SQL["drop_untold"], {"message_ids": messages})
    return len(rows)


def _array(values: Collection[Any]) -> str:
    return msgspec.json.encode(list(values)).decode()
