"""How one call of a handler ended: what a worker reports, and what `run_handler` returns."""

from typing import Any, Literal

import msgspec


class Left(msgspec.Struct, frozen=True, array_like=True):
    """A file the handler left as an artifact, already on disk (fsynced)."""

    name: str
    path: str
    """Absolute."""
    media_type: str
    size_bytes: int
    sha256: str


class Error(msgspec.Struct, frozen=True, array_like=True):
    """Why the handler failed."""

    code: str
    message: str
    retryable: bool
    failed_step: str | None = None
    details: dict[str, Any] = {}
    traceback: str | None = None


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """The end of one call. Exactly the fields of its `status` are set.

    completed: `result_json` (JSON text), or `result_artifact` (the name of the entry of
    `artifacts` that is the result; `.result.json` is a JSON result too long to be inline
    and no artifact of the handler's), or neither (the handler returned None); and for a
    Partial with failures `summary` = (total, succeeded, failed).
    failed: `error`, and `retry_in_s` when the handler named the wait itself.
    snoozed: `snooze_in_s`.
    """

    status: Literal["completed", "failed", "snoozed", "cancelled"]
    result_json: bytes | None = None
    result_artifact: str | None = None
    summary: tuple[int, int, int] | None = None
    error: Error | None = None
    retry_in_s: float | None = None
    snooze_in_s: float | None = None
    artifacts: tuple[Left, ...] = ()
    steps: tuple[tuple[str, float, float], ...] = ()
    """(name, started at in seconds since the epoch, duration in seconds)."""
    duration_s: float = 0.0
