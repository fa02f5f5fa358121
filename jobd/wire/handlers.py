"""The catalogue as a client sees it: which kinds can be submitted, and with which args."""

from typing import Any

import msgspec

from jobd.domain.catalog import Catalog, HandlerSpec


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """A kind that can run. A null option is the configured default of the daemon."""

    kind: str
    description: str
    lane: str
    queue: str
    timeout_seconds: float | None
    max_attempts: int | None
    backoff_base_seconds: float | None
    backoff_cap_seconds: float | None
    heartbeat_timeout_seconds: float | None
    """How long an attempt may say nothing; null: as long as it likes."""
    memory_mb: int | None
    """What an attempt may use, in MiB; null: anything."""
    args_schema: dict[str, Any] | None
    """JSON Schema 2020-12; null takes any object."""
    distribution: str
    version: str
    target: str


class LoadError(msgspec.Struct, frozen=True):
    """A kind that is installed and cannot run, and why."""

    kind: str
    distribution: str
    target: str
    message: str


class HandlerList(msgspec.Struct, frozen=True):
    """All installed kinds, by name."""

    handlers: list[Handler]
    load_errors: list[LoadError]
    next_page_token: str | None = None


def render_catalog(catalog: Catalog) -> HandlerList:
    """Return `catalog` as a document, kinds in order."""
    return HandlerList(
        [_handler(catalog.handlers[kind]) for kind in sorted(catalog.handlers)],
        [
            LoadError(error.kind, error.distribution, error.target, error.message)
            for _, error in sorted(catalog.errors.items())
        ],
    )


def _handler(spec: HandlerSpec) -> Handler:
    backoff = spec.backoff
    return Handler(
        kind=spec.kind,
        description=spec.description,
        lane=spec.lane,
        queue=spec.queue,
        timeout_seconds=spec.timeout_s,
        max_attempts=spec.max_attempts,
        backoff_base_seconds=backoff.base_s if backoff else None,
        backoff_cap_seconds=backoff.cap_s if backoff else None,
        heartbeat_timeout_seconds=spec.heartbeat_timeout_s,
        memory_mb=spec.memory_mb,
        args_schema=spec.args_schema,
        distribution=spec.distribution,
        version=spec.version,
        target=spec.target,
    )
