"""The attempts of a job: how each began and ended, folded from the job's events.

An attempt that was claimed and taken back before it began is none. Not here: what a crash
or a limit means for the job (domain/outcomes.py).
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from jobd.domain import jobs as domain
from jobd.domain.events import Event
from jobd.wire.jobs import JobError
from jobd.wire.rendering import render_error
from jobd.wire.times import Timestamp, from_ms

_BEGAN = "job.processing"
_MARKED = "job.cancel_requested"
_NOT_BEGUN = ("not_started", "handler_unavailable")


class Step(msgspec.Struct, frozen=True):
    """One step that a handler named."""

    name: str
    started_at: Timestamp
    duration_seconds: float


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One run that may have started. What is not known, or not over, is null."""

    attempt: int
    started_at: Timestamp
    ended_at: Timestamp | None = None
    outcome: str | None = None
    """completed, snoozed, cancelled, interrupted, bystander, or the code of its error."""
    charged: bool = False
    """Whether it counts against `max_attempts`."""
    error: JobError | None = None
    exit_code: int | None = None
    signal: str | None = None
    peak_rss_bytes: int | None = None
    cpu_seconds: float | None = None
    handler: str | None = None
    """The distribution that ran, with its version."""
    steps: list[Step] = []
    traceback: str | None = None


class AttemptList(msgspec.Struct, frozen=True):
    """All attempts of a job, oldest first."""

    attempts: list[Attempt]
    next_page_token: str | None = None


def render_attempts(events: Iterable[Event]) -> AttemptList:
    """Return the attempts that a job's whole history tells of."""
    attempts: list[Attempt] = []
    began: Event | None = None
    for event in events:
        if event.type == _BEGAN:
            began = event
        elif began is not None and event.type != _MARKED:
            if event.data.get("evidence", {}).get("outcome") not in _NOT_BEGUN:
                attempts.append(_ended(began, event))
            began = None
    if began is not None:
        attempts.append(Attempt(attempt=began.attempt, started_at=from_ms(began.at_ms)))
    return AttemptList(attempts)


def _ended(began: Event, ended: Event) -> Attempt:
    data, evidence = ended.data, ended.data.get("evidence", {})
    error = data.get("error")
    return Attempt(
        attempt=began.attempt,
        started_at=from_ms(began.at_ms),
        ended_at=from_ms(ended.at_ms),
        outcome=evidence.get("outcome"),
        charged="failures" in data or "crashes" in data,
        error=None if error is None else render_error(msgspec.convert(error, domain.JobError)),
        exit_code=evidence.get("exit_code"),
        signal=evidence.get("signal"),
        peak_rss_bytes=evidence.get("peak_rss_bytes"),
        cpu_seconds=evidence.get("cpu_seconds"),
        handler=evidence.get("handler"),
        steps=[_step(step) for step in evidence.get("steps", ())],
        traceback=evidence.get("traceback"),
    )


def _step(step: dict[str, Any]) -> Step:
    return Step(step["name"], from_ms(step["started_at_ms"]), step["duration_s"])
