"""Deliveries as people see them: lists, one with its attempts, and delivering once more.

A list merges the statuses: in each of them the ids, which are in the order of time, lie in
the order of an index, so that a page costs the same however many there are.

Not here: the deliverer's side (deliveries.py), how long they are kept (outbox.py).
"""

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from jobd.domain.clock import Clock
from jobd.domain.deliveries import (
    DeliveryAttempt,
    DeliveryFilter,
    DeliveryStatus,
    DeliveryView,
)
from jobd.domain.endpoints import ID_PREFIX
from jobd.domain.errors import Conflict, NotFound
from jobd.store.database import Database
from jobd.store.deliveries import SLICE, delivery_of
from jobd.store.queries import load
from jobd.store.writes import write

_SQL = load("delivery_log.sql")

_BEHIND_ALL = "dlv_~"
"""Greater than every id."""

_OVER = (DeliveryStatus.DEAD, DeliveryStatus.SUCCEEDED)


class DeliveryLog:
    """Reads, on read-only connections, and redelivery, durable on return.

    A write may raise StorageFull or Unavailable; then nothing of it is written, but the
    slices before it.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        due: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        """`due` is told of the receivers for whom something has become due."""
        self._database = database
        self._clock = clock
        self._tell_due = due

    async def page(
        self, wanted: DeliveryFilter, before_id: str | None, limit: int
    ) -> list[DeliveryView]:
        """Return a page of deliveries, the newest first, each with its last attempt.

        The next page is behind the last one's delivery_id. Those of a job that is gone are
        found by all but its job_id.
        """

        def read(connection: sqlite3.Connection) -> list[DeliveryView]:
            ids = _found(connection, wanted, before_id or _BEHIND_ALL, limit)
            shown = {"delivery_ids": _array(ids)}
            attempts = _by_delivery(connection.execute(_SQL["last_attempts"], shown).fetchall())
            rows = connection.execute(_SQL["deliveries"], shown).fetchall()
            views = [_view(row, attempts) for row in rows]
            return sorted(views, key=lambda view: view.delivery.delivery_id, reverse=True)

        return await self._database.read(read)

    async def one(self, principal: str | None, delivery_id: str) -> DeliveryView:
        """Return a delivery of a principal's, or anybody's, with all its attempts.

        Raises NotFound.
        """
        asked = {"delivery_ids": _array([delivery_id])}

        def read(connection: sqlite3.Connection) -> list[DeliveryView]:
            attempts = _by_delivery(connection.execute(_SQL["attempts"], asked).fetchall())
            rows = connection.execute(_SQL["deliveries"], asked).fetchall()
            return [_view(row, attempts) for row in rows]

        for view in await self._database.read(read):
            if principal in {None, view.delivery.principal}:
                return view
        raise _not_found(delivery_id)

    async def redeliver(self, wanted: DeliveryFilter) -> int:
        """Begin a new schedule for what is over and fits, at once; return how many it were.

        Only the dead, unless the filter says succeeded. Not those whose endpoint is gone or
        disabled.
        """
        status = wanted.status or DeliveryStatus.DEAD
        if status not in _OVER:
            return 0
        wanted = msgspec.structs.replace(wanted, status=status)
        begun, before, more = 0, _BEHIND_ALL, True
        while more:
            ids = await self._slice(wanted, before)
            begun += len(await self._begin(ids)) if ids else 0
            before, more = min(ids, default=before), len(ids) == SLICE
        return begun

    async def _slice(self, wanted: DeliveryFilter, before_id: str) -> list[str]:
        return await self._database.read(lambda c: _found(c, wanted, before_id, SLICE))

    async def redeliver_one(self, principal: str, delivery_id: str) -> None:
        """Begin a new schedule for a delivery that is over, at once.

        Raises NotFound (`delivery_not_found`, `endpoint_not_found`: its endpoint is gone), or
        Conflict (`delivery_active`, `endpoint_disabled`).
        """
        delivery = (await self.one(principal, delivery_id)).delivery
        if delivery.status not in _OVER:
            raise Conflict("delivery_active", f"The delivery is {delivery.status}.")
        if await self._begin([delivery_id]):
            return
        asked = {"endpoint_id": delivery.endpoint_id}
        if await self._database.read(lambda c: c.execute(_SQL["has_endpoint"], asked).fetchall()):
            raise Conflict("endpoint_disabled", "The endpoint is disabled; enable it first.")
        raise NotFound("endpoint_not_found", f"There is no endpoint {delivery.endpoint_id}.")

    async def _begin(self, ids: Sequence[str]) -> list[Any]:
        values = {"delivery_ids": _array(ids), "now": self._clock.wall_ms()}
        rows = await write(
            self._database, lambda c: c.execute(_SQL["redeliver"], values).fetchall()
        )
        if rows:
            self._tell_due(dict.fromkeys(receiver for (receiver,) in rows))
        return rows


def _found(
    connection: sqlite3.Connection, wanted: DeliveryFilter, before_id: str, limit: int
) -> list[str]:
    """Return the ids of up to `limit` deliveries, the newest first."""
    since = wanted.since_ms or 0
    values: dict[str, Any] = {
        "principal": wanted.principal,
        "before": before_id,
        "since": since,
        # an id begins with a millisecond that is never before its row's time
        "since_id": f"dlv_{since:012x}",
        "limit": limit,
    }
    statuses = [wanted.status] if wanted.status else list(DeliveryStatus)
    if wanted.job_id is not None:
        values |= {"job_id": wanted.job_id, "endpoint_id": wanted.endpoint_id}
        return _ids(connection, "of_job", values | {"statuses": _array(statuses)})
    statement = "of_all" if wanted.principal is None else "of_principal"
    if wanted.endpoint_id is not None:
        if not _may_be_asked_for(connection, wanted.endpoint_id, wanted.principal):
            return []
        statement = "of_receiver"
        values["receiver"] = wanted.endpoint_id
    ids = [
        found
        for status in statuses
        for found in _ids(connection, statement, values | {"status": status})
    ]
    return sorted(ids, reverse=True)[:limit]


def _may_be_asked_for(
    connection: sqlite3.Connection, endpoint_id: str, principal: str | None
) -> bool:
    """Return whether it is an endpoint of whom is asked for: nobody walks through another's."""
    if not endpoint_id.startswith(ID_PREFIX):
        return False
    row = connection.execute(_SQL["owner"], {"receiver": endpoint_id}).fetchone()
    return principal is None or (row is not None and row[0] == principal)


def _ids(connection: sqlite3.Connection, name: str, values: Mapping[str, Any]) -> list[str]:
    return [row[0] for row in connection.execute(_SQL[name], values).fetchall()]


def _by_delivery(rows: Sequence[sqlite3.Row]) -> dict[str, list[DeliveryAttempt]]:
    attempts: dict[str, list[DeliveryAttempt]] = {}
    for row in rows:
        one = DeliveryAttempt(
            attempt=row["attempt"],
            started_at_ms=row["started_at"],
            duration_ms=row["duration_ms"],
            status_code=row["status_code"],
            error=row["error"],
            response_excerpt=row["response_excerpt"],
            response_headers=msgspec.json.decode(row["response_headers"]),
        )
        attempts.setdefault(row["delivery_id"], []).append(one)
    return attempts


def _view(row: sqlite3.Row, attempts: Mapping[str, Sequence[DeliveryAttempt]]) -> DeliveryView:
    delivery = delivery_of(row)
    subject = row["subject"]
    return DeliveryView(
        delivery,
        row["type"],
        subject if subject and subject.startswith("job_") else None,
        tuple(attempts.get(delivery.delivery_id, ())),
    )


def _not_found(delivery_id: str) -> NotFound:
    return NotFound("delivery_not_found", f"There is no delivery {delivery_id}.")


def _array(values: Collection[Any]) -> str:
    return msgspec.json.encode(list(values)).decode()
