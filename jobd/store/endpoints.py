"""Registered endpoints: the verbs that change them, and how they are read.

All of them stand in memory beside the writer, as of its newest commit; a transaction that
changes them goes on with what it has made of them, so that an event is told to exactly those
that are in the file when it is committed.

Not here: who is told of an event (domain/endpoints.py), the rows of that (outbox.py).
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from jobd.domain.endpoints import (
    MAX_PER_PRINCIPAL,
    Disabling,
    Endpoint,
    EndpointChange,
    EndpointRemoval,
    EndpointRotation,
    Endpoints,
    Health,
    NewEndpoint,
    Outright,
)
from jobd.domain.errors import JobdError, LimitReached, NotFound
from jobd.store.queries import load
from jobd.store.transaction import Transaction

_SQL = load("endpoints.sql")

_WORDS = msgspec.json.Decoder(tuple[str, ...])

_NAMES = Endpoint.__struct_fields__
"""As the statements have the columns, in their order."""

_LISTS = ("events", "kinds", "queues")
_FLAGS = ("enabled", "paused")

Asked = NewEndpoint | EndpointChange | EndpointRemoval | EndpointRotation | Health | Disabling


def read_endpoints(connection: sqlite3.Connection) -> Endpoints:
    """Return all endpoints in the file."""
    return Endpoints(_endpoint(row) for row in connection.execute(_SQL["endpoints"]).fetchall())


def read_endpoint(connection: sqlite3.Connection, endpoint_id: str) -> Endpoint | None:
    """Return the endpoint; None if there is none."""
    rows = connection.execute(_SQL["endpoint"], {"endpoint_id": endpoint_id}).fetchall()
    return _endpoint(rows[0]) if rows else None


def change(tx: Transaction, asked: Sequence[Asked]) -> list[Endpoint | JobdError | None]:
    """Add, change, remove, rotate, note and disable endpoints, in the order of `asked`.

    Answers in order: the endpoint as it is then (a removed one as it was), NotFound,
    LimitReached, JobdError (`precondition_failed`); None for what the daemon asks of one
    that is gone.
    """
    return [_changed(tx, one) for one in asked]


def _changed(tx: Transaction, asked: Asked) -> Endpoint | JobdError | None:
    if isinstance(asked, NewEndpoint):
        return _add(tx, asked)
    endpoint = tx.endpoints.get(asked.endpoint_id)
    if isinstance(asked, Health | Disabling):
        return None if endpoint is None else _noted(tx, endpoint, asked)
    if endpoint is None or endpoint.principal != asked.principal:
        return NotFound("endpoint_not_found", f"There is no endpoint {asked.endpoint_id}.")
    return _by_owner(tx, endpoint, asked)


def _noted(tx: Transaction, endpoint: Endpoint, asked: Health | Disabling) -> Endpoint:
    if isinstance(asked, Health):
        return _note(tx, endpoint, asked)
    return _disable(tx, endpoint, asked)


def _by_owner(
    tx: Transaction, endpoint: Endpoint, asked: EndpointChange | EndpointRemoval | EndpointRotation
) -> Endpoint | JobdError:
    if isinstance(asked, EndpointRotation):
        return _rotate(tx, endpoint, asked)
    if asked.version not in (None, endpoint.version):
        return JobdError("precondition_failed", "The endpoint has been changed since.")
    if isinstance(asked, EndpointRemoval):
        return _remove(tx, endpoint)
    return _edit(tx, endpoint, asked)


def _add(tx: Transaction, new: NewEndpoint) -> Endpoint | JobdError:
    if len(tx.endpoints.of(new.principal)) >= MAX_PER_PRINCIPAL:
        detail = f"There are {MAX_PER_PRINCIPAL} endpoints of yours already."
        return LimitReached("endpoint_limit", detail)
    fields = msgspec.structs.asdict(new)
    now_ms = tx.now_ms
    return _put(tx, Endpoint(**fields, created_at_ms=now_ms, updated_at_ms=now_ms, version=1))


def _edit(tx: Transaction, endpoint: Endpoint, asked: EndpointChange) -> Endpoint:
    fields = {
        name: value
        for name, value in msgspec.structs.asdict(asked).items()
        if value is not UNSET and name != "version"
    }
    if asked.enabled is True:
        fields |= {"failing_since_ms": None, "disabled_at_ms": None, "disabled_reason": None}
    return _update(tx, endpoint, **fields)


def _remove(tx: Transaction, endpoint: Endpoint) -> Endpoint:
    tx.rows(_SQL["remove"], endpoint_id=endpoint.endpoint_id)
    tx.endpoints = tx.endpoints.without(endpoint.endpoint_id)
    tx.receivers[endpoint.endpoint_id] = None
    return endpoint


def _rotate(tx: Transaction, endpoint: Endpoint, asked: EndpointRotation) -> Endpoint:
    overlaps = asked.overlap_ms > 0
    return _update(
        tx,
        endpoint,
        secret=asked.secret,
        previous_secret=endpoint.secret if overlaps else None,
        previous_until_ms=tx.now_ms + asked.overlap_ms if overlaps else None,
    )


def _note(tx: Transaction, endpoint: Endpoint, health: Health) -> Endpoint:
    if health.ok == (endpoint.failing_since_ms is None):
        return endpoint
    return _update(tx, endpoint, failing_since_ms=None if health.ok else health.at_ms)


def _disable(tx: Transaction, endpoint: Endpoint, asked: Disabling) -> Endpoint:
    if not endpoint.enabled:
        return endpoint
    return _update(
        tx, endpoint, enabled=False, disabled_at_ms=tx.now_ms, disabled_reason=asked.reason
    )


def _update(tx: Transaction, endpoint: Endpoint, **fields: Any) -> Endpoint:
    return _put(
        tx,
        msgspec.structs.replace(
            endpoint, **fields, version=endpoint.version + 1, updated_at_ms=tx.now_ms
        ),
    )


def _put(tx: Transaction, endpoint: Endpoint) -> Endpoint:
    """Store an endpoint as it is to be, and have the deliverer look at what waits for it."""
    tx.rows(_SQL["put"], row=tx.array(_row(endpoint)))
    tx.endpoints = tx.endpoints.put(endpoint)
    tx.receivers[endpoint.endpoint_id] = None
    return endpoint


def tell(tx: Transaction, messages: Sequence[Outright]) -> list[str]:
    """Store messages about no job; answers the ids of their deliveries."""
    return [tx.tell_outright(one) for one in messages]


def _row(endpoint: Endpoint) -> list[Any]:
    fields = msgspec.structs.asdict(endpoint)
    for name in _LISTS:
        if fields[name] is not None:
            fields[name] = msgspec.json.encode(fields[name]).decode()
    return [int(fields[name]) if name in _FLAGS else fields[name] for name in _NAMES]


def _endpoint(row: Sequence[Any]) -> Endpoint:
    fields = dict(zip(_NAMES, row, strict=True))
    for name in _LISTS:
        if fields[name] is not None:
            fields[name] = _WORDS.decode(fields[name])
    for name in _FLAGS:
        fields[name] = bool(fields[name])
    return Endpoint(**fields)
