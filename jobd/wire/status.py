"""The daemon's own state: what `/v1/status`, `/livez` and `/readyz` say."""

from typing import Literal

import msgspec

from jobd.wire.times import Timestamp


class Slots(msgspec.Struct, frozen=True):
    """The capacity of one lane: jobs that can run at a time, and that could start now."""

    total: int
    free: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What runs here and how busy it is."""

    version: str
    api: str
    python: str
    sqlite: str
    instance_id: str
    started_at: Timestamp
    accepting: bool
    queued: int
    processing: int
    worker_slots: dict[str, Slots]
    """By lane: cpu, io."""
    estimated_wait_seconds: float | None
    """Of a job submitted now, in the busier lane; null while it is not known."""


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One condition of being ready."""

    status: Literal["ok", "unavailable"]
    latency_ms: float | None = None
    detail: str | None = None


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of a probe; machines go by the HTTP status alone."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, Check] = {}
