"""Deliveries as the deliverer sees them: what is due at whom, and what came of it.

A delivery is due as long as its row says so. There are no leases: the one deliverer keeps
in memory what it has under way, and what was under way when the daemon died is due again.

What touches many rows is done a slice at a time, each a transaction of its own, so that
nobody else waits long.

Not here: who decides what an attempt means (domain/deliveries.py), who makes it
(webhooks/deliverer.py), where messages come from (outbox.py), what people see and have
delivered once more (delivery_log.py).
"""

import sqlite3
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from jobd.domain.clock import Clock
from jobd.domain.deliveries import (
    Attempted,
    Body,
    DeadReason,
    Delivery,
    DeliveryStatus,
    Due,
    Message,
    RotatedSecret,
)
from jobd.domain.endpoints import ID_PREFIX, Endpoint
from jobd.domain.signing import new_secret
from jobd.store.database import Database
from jobd.store.endpoints import read_endpoint
from jobd.store.outbox import delete_messages
from jobd.store.queries import load
from jobd.store.writes import write

T = TypeVar("T")

_SQL = load("deliveries.sql")

SLICE = 500
"""Deliveries in one transaction."""


Save = Callable[[Sequence[Message]], Awaitable[object]]
"""Renders messages and stores what they say."""


class Died(NamedTuple):
    """A delivery that is dead without another attempt."""

    delivery_id: str
    receiver: str
    endpoint_id: str | None
    principal: str


class Deliveries:
    """What the deliverer reads and writes. Writes are durable on return.

    Each write may raise StorageFull, or Unavailable (`database_busy`: another program holds
    the lock); nothing of it is written then, but the slices before it.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def receivers(self) -> dict[str, int]:
        """Return all who have something to come, with the wall ms when that is due first."""
        return await self._database.read(_receivers)

    async def due(self, receiver: str, limit: int, in_flight: Collection[str]) -> list[Due]:
        """Return up to `limit` deliveries to attempt there now, without those `in_flight`.

        The longest overdue first. It is not asked whether their endpoint is there, enabled
        or paused: each says.
        """
        values = {
            "receiver": receiver,
            "now": self._clock.wall_ms(),
            "limit": limit,
            "in_flight": _array(in_flight),
        }

        def read(connection: sqlite3.Connection) -> list[Due]:
            rows = connection.execute(_SQL["due"], values).fetchall()
            if not rows:
                return []
            endpoint = None
            if receiver.startswith(ID_PREFIX):
                endpoint = read_endpoint(connection, receiver)
            return [_due(row, endpoint) for row in rows]

        return await self._database.read(read)

    async def next_due(
        self, receivers: Collection[str], in_flight: Collection[str] = ()
    ) -> dict[str, int | None]:
        """Return for each of these the wall ms when something is due there, None: never.

        Without what is `in_flight`.
        """
        values = {"receivers": _array(receivers), "in_flight": _array(in_flight)}
        rows = await self._database.read(lambda c: c.execute(_SQL["next_due"], values).fetchall())
        return {receiver: at_ms for receiver, at_ms in rows}  # noqa: C416 - rows are no pairs

    async def next_overdue(self, age_ms: int) -> int | None:
        """Return the trusted ms when the first that waits will be so old; None: none waits."""
        ((begun_at_ms,),) = await self._database.read(
            lambda c: c.execute(_SQL["oldest"]).fetchall()
        )
        return None if begun_at_ms is None else begun_at_ms + age_ms

    async def save_bodies(self, bodies: Sequence[Body]) -> None:
        """Store rendered bodies before they are sent to anybody; the first of each stays."""
        by_payload = {"notice": "save_body", "job": "save_job_body"}

        def save(connection: sqlite3.Connection) -> None:
            for payload, statement in by_payload.items():
                rows = [one._asdict() for one in bodies if one.payload == payload]
                connection.executemany(_SQL[statement], rows)

        await self._write(save)

    async def record(self, ended: Sequence[Attempted]) -> None:
        """Store attempts that are over and what follows from them.

        Drops those of deliveries that have been deleted or killed, or have this attempt
        already. A delay counts from now.
        """
        now_ms = self._clock.wall_ms()
        await self._write(lambda connection: _record(connection, ended, now_ms))

    async def kill(
        self,
        receiver: str,
        reason: DeadReason,
        in_flight: Collection[str] = (),
        *,
        save: Save | None = None,
    ) -> int:
        """End all that waits for a receiver, but what is `in_flight`; return how many it were.

        What was never sent has no body; it is given to `save` before, so that it can be
        delivered once more when its job is gone.
        """
        killed, more = 0, True
        while more:
            ids = await self._ids("waiting", {"receiver": receiver}, in_flight)
            killed += len(await self._kill(ids, reason, save))
            more = len(ids) == SLICE
        return killed

    async def kill_overdue(
        self, age_ms: int, in_flight: Collection[str] = (), *, save: Save | None = None
    ) -> list[Died]:
        """End some that wait and whose schedule began so long ago: they are `exhausted`.

        The oldest first, without what is `in_flight`, by trusted time; `save` as for `kill`.
        SLICE of them mean that there may be more.
        """
        begun_by = self._clock.trusted_ms() - age_ms
        ids = await self._ids("overdue", {"begun_by": begun_by}, in_flight)
        return await self._kill(ids, "exhausted", save)

    async def _ids(
        self, name: str, values: Mapping[str, Any], in_flight: Collection[str]
    ) -> list[str]:
        asked = {**values, "in_flight": _array(in_flight), "limit": SLICE}
        rows = await self._database.read(lambda c: c.execute(_SQL[name], asked).fetchall())
        return [delivery_id for (delivery_id,) in rows]

    async def _kill(self, ids: Sequence[str], reason: DeadReason, save: Save | None) -> list[Died]:
        if not ids:
            return []
        named = {"delivery_ids": _array(ids)}
        if save is not None:
            unsaid = await self._database.read(
                lambda c: c.execute(_SQL["unsaid"], named).fetchall()
            )
            await save([_message(row) for row in unsaid])
        values = {**named, "reason": reason, "now": self._clock.wall_ms()}
        rows = await self._write(lambda c: c.execute(_SQL["kill"], values).fetchall())
        return [Died(*row) for row in rows]

    async def secrets_of(self, principals: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Return the secrets that sign callbacks of each, the newest first; made at first use."""
        found = await self._database.read(lambda c: self._secrets(c, principals))
        missing = [(principal, new_secret()) for principal in set(principals) - found.keys()]
        if missing:
            values = {"secrets": _array(missing), "now": self._clock.wall_ms()}
            await self._write(lambda connection: connection.execute(_SQL["add_secrets"], values))
            found = await self._database.read(lambda c: self._secrets(c, principals))
        return found

    def _secrets(
        self, connection: sqlite3.Connection, principals: Collection[str]
    ) -> dict[str, tuple[str, ...]]:
        now_ms = self._clock.wall_ms()
        values = {"principals": _array(principals)}
        rows = connection.execute(_SQL["secrets"], values).fetchall()
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
        """Delete what there is for jobs that are gone; what is about none stays."""
        seqs = [seq for seq in seqs if seq]
        await self._write(lambda connection: delete_messages(connection, seqs))

    async def _write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        return await write(self._database, fn)


def _receivers(connection: sqlite3.Connection) -> dict[str, int]:
    """Go from one receiver to the next, at the cost of one look-up each."""
    found: dict[str, int] = {}
    receiver = ""
    while rows := connection.execute(_SQL["next_receiver"], {"receiver": receiver}).fetchall():
        ((receiver, at_ms),) = rows
        found[receiver] = at_ms
    return found


def _record(connection: sqlite3.Connection, ended: Sequence[Attempted], now_ms: int) -> None:
    by_id = {one.delivery_id: one for one in ended}
    rows = [_verdict_row(one) for one in by_id.values()]
    values = {"ended": _array(rows), "now": now_ms}
    recorded = connection.execute(_SQL["record"], values).fetchall()
    attempts = [_attempt_row(by_id[delivery_id]) for (delivery_id,) in recorded]
    connection.execute(_SQL["add_attempts"], {"attempts": _array(attempts)})


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
        msgspec.json.encode(attempt.response_headers).decode(),
        attempt.response_excerpt,
    )


def _message(row: sqlite3.Row) -> Message:
    return Message(
        message_id=row["message_id"],
        seq=row["seq"],
        event_id=row["event_id"],
        type=row["type"],
        at_ms=row["at"],
        attempt=row["attempt"] or 0,
        data=msgspec.json.decode(row["data"] or "{}"),
        traceparent=row["traceparent"],
        body=row["body"],
        payload=row["payload"],
    )


def _due(row: sqlite3.Row, endpoint: Endpoint | None) -> Due:
    delivery = delivery_of(row)
    if endpoint is not None:
        delivery = msgspec.structs.replace(delivery, url=endpoint.url)
    return Due(delivery, _message(row), endpoint)


def delivery_of(row: sqlite3.Row) -> Delivery:
    """Return the delivery of a row of `deliveries`."""
    return Delivery(
        delivery_id=row["delivery_id"],
        message_id=row["message_id"],
        principal=row["principal"],
        url=row["url"],
        status=DeliveryStatus(row["status"]),
        attempt_count=row["attempt_count"],
        created_at_ms=row["created_at"],
        next_attempt_at_ms=row["next_attempt_at"],
        dead_reason=row["dead_reason"],
        endpoint_id=row["endpoint_id"],
        receiver=row["receiver"],
        begun_at_ms=row["begun_at"],
        earlier_attempts=row["earlier_attempts"],
    )


def _array(values: Collection[Any]) -> str:
    return msgspec.json.encode(list(values)).decode()
