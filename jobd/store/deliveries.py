"""Messages and their deliveries: written with the event, attempted until they are over.

A delivery is due as long as its row says so. There are no leases: the one deliverer keeps
in memory what it has under way, and what was under way when the daemon died is due again.

Not here: who decides what an attempt means (domain/deliveries.py), who makes it
(webhooks/deliverer.py).
"""

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from jobd.domain.clock import Clock
from jobd.domain.deliveries import (
    Attempted,
    Delivery,
    DeliveryStatus,
    Due,
    Message,
    RotatedSecret,
)
from jobd.domain.signing import new_secret
from jobd.store.database import Database
from jobd.store.queries import load
from jobd.store.writes import write

T = TypeVar("T")

_SQL = load("deliveries.sql")


class NewDelivery(NamedTuple):
    """One event to be told of at one URL; rows with the same message_id share the message."""

    message_id: str
    delivery_id: str
    seq: int
    event_id: int
    type: str
    at_ms: int
    url: str
    principal: str


def insert_messages(connection: sqlite3.Connection, rows: Sequence[NewDelivery]) -> None:
    """Store messages and their deliveries, in the transaction of the events they tell of."""
    if rows:
        array = {"rows": _json(rows)}
        connection.execute(_SQL["add_messages"], array)
        connection.execute(_SQL["add_deliveries"], array)


def delete_messages(connection: sqlite3.Connection, seqs: Collection[int]) -> None:
    """Delete all messages and deliveries of these jobs, in the transaction that deletes them."""
    array = {"seqs": _json(list(seqs))}
    for statement in ("drop_attempts", "drop_deliveries", "drop_messages"):
        connection.execute(_SQL[statement], array)


class Deliveries:
    """What the deliverer reads and writes. Writes are durable on return.

    Each write may raise StorageFull, or Unavailable (`database_busy`: another program holds
    the lock); nothing of it is written then.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def due(self, limit: int, in_flight: Collection[str]) -> list[Due]:
        """Return up to `limit` deliveries to attempt now, without those `in_flight`."""
        values = {"now": self._clock.wall_ms(), "limit": limit, "in_flight": _ids(in_flight)}
        rows = await self._database.read(lambda c: c.execute(_SQL["due"], values).fetchall())
        return [_due(row) for row in rows]

    async def next_due_s(self, in_flight: Collection[str]) -> float | None:
        """Return the seconds until an attempt is due (0: now), None if none will be."""
        values = {"in_flight": _ids(in_flight)}
        rows = await self._database.read(lambda c: c.execute(_SQL["next_due"], values).fetchall())
        if not rows:
            return None
        at_ms: int = rows[0]["next_attempt_at"]
        return max(0.0, (at_ms - self._clock.wall_ms()) / 1000)

    async def save_bodies(self, bodies: Mapping[str, bytes]) -> None:
        """Store the rendered bodies, by message id, before they are sent to anybody."""
        rows = [{"message_id": key, "body": body} for key, body in bodies.items()]
        await self._write(lambda connection: connection.executemany(_SQL["save_body"], rows))

    async def record(self, ended: Sequence[Attempted]) -> None:
        """Store attempts that are over and what follows from them.

        Drops those of deliveries that have been deleted, or have this attempt already. A
        delay counts from now.
        """
        now_ms = self._clock.wall_ms()
        await self._write(lambda connection: _record(connection, ended, now_ms))

    async def secrets_of(self, principals: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return the secrets that sign for each, the newest first; made at the first use."""
        found = await self._database.read(lambda c: self._secrets(c, principals))
        missing = [(principal, new_secret()) for principal in set(principals) - found.keys()]
        if missing:
            values = {"secrets": _json(missing), "now": self._clock.wall_ms()}
            await self._write(lambda connection: connection.execute(_SQL["add_secrets"], values))
            found = await self._database.read(lambda c: self._secrets(c, principals))
        return found

    def _secrets(
        self, connection: sqlite3.Connection, principals: Collection[str]
    ) -> dict[str, tuple[str, ...]]:
        now_ms = self._clock.wall_ms()
        rows = connection.execute(_SQL["secrets"], {"principals": _ids(principals)}).fetchall()
        return {
            principal: (secret, previous) if previous and now_ms < until else (secret,)
            for principal, secret, previous, until in rows
        }

    async def rotate(self, principal: str, overlap_s: float) -> RotatedSecret:
        """Give the principal a new secret; the one before signs beside it for `overlap_s`."""
        values = {
            "principal": principal,
            "secret": new_secret(),
            "overlap_ms": round(overlap_s * 1000),
            "now": self._clock.wall_ms(),
        }
        ((secret, until),) = await self._write(
            lambda connection: connection.execute(_SQL["rotate"], values).fetchall()
        )
        return RotatedSecret(secret, until)

    async def delete(self, seqs: Collection[int]) -> None:
        """Delete what there is for jobs that are gone."""
        await self._write(lambda connection: delete_messages(connection, seqs))

    async def _write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        return await write(self._database, fn)


def _record(connection: sqlite3.Connection, ended: Sequence[Attempted], now_ms: int) -> None:
    by_id = {one.delivery_id: one for one in ended}
    rows = [_verdict_row(one) for one in by_id.values()]
    recorded = connection.execute(_SQL["record"], {"ended": _json(rows), "now": now_ms}).fetchall()
    attempts = [_attempt_row(by_id[delivery_id]) for (delivery_id,) in recorded]
    connection.execute(_SQL["add_attempts"], {"attempts": _json(attempts)})


def _verdict_row(ended: Attempted) -> tuple[Any, ...]:
    verdict = ended.verdict
    delay_ms = None if verdict.delay_s is None else round(verdict.delay_s * 1000)
    return (
        ended.delivery_id,
        ended.attempt.attempt,
        verdict.status,
        delay_ms,
        verdict.dead_reason,
    )


def _attempt_row(ended: Attempted) -> tuple[Any, ...]:
    attempt = ended.attempt
    return (
        ended.delivery_id,
        attempt.attempt,
        attempt.started_at_ms,
        attempt.duration_ms,
        attempt.status_code,
        attempt.error,
        _json(attempt.response_headers),
        attempt.response_excerpt,
    )


def _due(row: sqlite3.Row) -> Due:
    delivery = Delivery(
        delivery_id=row["delivery_id"],
        message_id=row["message_id"],
        principal=row["principal"],
        url=row["url"],
        status=DeliveryStatus(row["status"]),
        attempt_count=row["attempt_count"],
        created_at_ms=row["created_at"],
        next_attempt_at_ms=row["next_attempt_at"],
    )
    message = Message(
        message_id=row["message_id"],
        seq=row["seq"],
        event_id=row["event_id"],
        type=row["type"],
        at_ms=row["at"],
        attempt=row["attempt"] or 0,
        data=msgspec.json.decode(row["data"] or "{}"),
        traceparent=row["traceparent"],
        body=row["body"],
    )
    return Due(delivery, message)


def _ids(ids: Collection[str]) -> str:
    return _json(list(ids))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
