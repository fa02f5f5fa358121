"""How an attempt can end, and decide(): all retry policy, in one pure function.

Who is charged: a handler that raised, ran out of time or killed its worker. Never
charged: drain, call-back, snooze, an import that fails, and the neighbours of a job that
took its io worker down. Not here: writing it (store/jobs.py), ending it (pool/process.py).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from jobd.domain.backoff import BackoffPolicy, delay_s
from jobd.domain.jobs import Artifact, Claim, JobError, Result, Settlement, Summary
from jobd.domain.statuses import Status

MAX_CRASHES = 3
MAX_INTERRUPTED = 5
_DEATH = ("exit_code", "signal", "peak_rss_bytes")
"""What an error tells of a worker's death; the rest of the evidence stays with the attempt."""


class Completed(msgspec.Struct, frozen=True):
    """The handler returned."""

    result: Result | None = None
    partial: bool = False
    summary: Summary | None = None
    artifacts: tuple[Artifact, ...] = ()
    evidence: dict[str, Any] = {}


class Failed(msgspec.Struct, frozen=True):
    """The handler raised, or broke a limit that counts as its own failure (timeout, result)."""

    error: JobError
    retry_in_s: float | None = None
    artifacts: tuple[Artifact, ...] = ()
    evidence: dict[str, Any] = {}


class Snoozed(msgspec.Struct, frozen=True):
    """The handler asked to be run again later; nothing is charged."""

    in_s: float
    evidence: dict[str, Any] = {}


class CancelledByRequest(msgspec.Struct, frozen=True):
    """The attempt ended because somebody cancelled the job."""

    artifacts: tuple[Artifact, ...] = ()
    evidence: dict[str, Any] = {}


class Crashed(msgspec.Struct, frozen=True):
    """The worker died, or had to, and this attempt was what it was running."""

    message: str
    evidence: dict[str, Any] = {}
    code: str = "worker_crashed"
    """`loop_blocked`: it kept the loop that an io worker's jobs share from going on."""
    failed_step: str | None = None
    """The step that it was last heard of in."""


class Interrupted(msgspec.Struct, frozen=True):
    """The daemon ended the attempt for its own reasons (drain); the job is innocent."""

    evidence: dict[str, Any] = {}


class NotStarted(msgspec.Struct, frozen=True):
    """The attempt never began: taken back, or its worker died before taking it."""


class Bystander(msgspec.Struct, frozen=True):
    """Another job took the shared io worker down; this one runs again, uncharged."""

    evidence: dict[str, Any] = {}


class HandlerUnavailable(msgspec.Struct, frozen=True):
    """The worker could not import the handler, so nothing of it ran."""

    message: str


class Refused(msgspec.Struct, frozen=True):
    """The job can never run as it is (its handler is gone): failed without a charge."""

    error: JobError


Outcome = (
    Completed
    | Failed
    | Snoozed
    | CancelledByRequest
    | Crashed
    | Interrupted
    | NotStarted
    | Bystander
    | HandlerUnavailable
    | Refused
)


def decide(
    claim: Claim,
    outcome: Outcome,
    *,
    backoff: BackoffPolicy,
    random: Callable[[], float],
    cancel_requested: bool = False,
) -> Settlement:
    """Return what to write about the attempt `claim` that ended with `outcome`.

    Exhausted means failures + crashes >= max_attempts, or crashes >= MAX_CRASHES, or
    interrupted > MAX_INTERRUPTED. A cancel that was asked for wins over every outcome
    but a result or a final failure.
    """
    match outcome:
        case Completed():
            return _completed(claim, outcome)
        case Refused():
            return _refused(claim, outcome)
        case CancelledByRequest():
            return _cancelled(claim, outcome.evidence, outcome.artifacts)
        case Failed() | Crashed():
            settlement = _charged(claim, outcome, backoff, random)
        case _:
            settlement = _uncharged(claim, outcome)
    if cancel_requested and settlement.status is not Status.FAILED:
        return _cancelled(claim, settlement.evidence, settlement.artifacts)
    return settlement


def _settlement(claim: Claim, status: Status, **fields: Any) -> Settlement:
    return Settlement(seq=claim.seq, token=claim.token, status=status, **fields)


def _cancelled(
    claim: Claim, evidence: dict[str, Any], artifacts: tuple[Artifact, ...] = ()
) -> Settlement:
    return _settlement(
        claim,
        Status.CANCELLED,
        error=was_cancelled(claim.attempt),
        artifacts=artifacts,
        evidence={"outcome": "cancelled", **evidence},
    )


def _completed(claim: Claim, outcome: Completed) -> Settlement:
    return _settlement(
        claim,
        Status.COMPLETED,
        result=outcome.result,
        partial=outcome.partial,
        summary=outcome.summary,
        artifacts=outcome.artifacts,
        evidence={"outcome": "completed", **outcome.evidence},
    )


def _refused(claim: Claim, outcome: Refused) -> Settlement:
    return _settlement(
        claim,
        Status.FAILED,
        attempt_delta=-1,
        error=outcome.error,
        evidence={"outcome": outcome.error.code},
    )


def _charged(
    claim: Claim,
    outcome: Failed | Crashed,
    backoff: BackoffPolicy,
    random: Callable[[], float],
) -> Settlement:
    crashed = isinstance(outcome, Crashed)
    failures, crashes = claim.failures + (not crashed), claim.crashes + crashed
    error = _crash_error(outcome) if isinstance(outcome, Crashed) else outcome.error
    final = failures + crashes >= claim.max_attempts or crashes >= MAX_CRASHES
    if isinstance(outcome, Failed):
        final = final or not error.retryable
        wait_s = outcome.retry_in_s
    else:
        wait_s = None
    if wait_s is None:
        wait_s = delay_s(backoff, failures + crashes, random)
    return _settlement(
        claim,
        Status.FAILED if final else Status.RETRYING,
        delay_ms=None if final else round(max(wait_s, 0.0) * 1000),
        failures_delta=int(not crashed),
        crashes_delta=int(crashed),
        error=msgspec.structs.replace(error, attempt=claim.attempt),
        artifacts=() if isinstance(outcome, Crashed) else outcome.artifacts,
        evidence={"outcome": error.code, **outcome.evidence},
    )


def _crash_error(outcome: Crashed) -> JobError:
    return JobError(
        outcome.code,
        outcome.message,
        retryable=False,
        failed_step=outcome.failed_step,
        details={name: outcome.evidence[name] for name in _DEATH if name in outcome.evidence},
    )


def _uncharged(
    claim: Claim, outcome: Snoozed | Interrupted | NotStarted | Bystander | HandlerUnavailable
) -> Settlement:
    match outcome:
        case Snoozed():
            return _settlement(
                claim,
                Status.RETRYING,
                delay_ms=round(max(outcome.in_s, 0.0) * 1000),
                snoozes_delta=1,
                evidence={"outcome": "snoozed", **outcome.evidence},
            )
        case Interrupted():
            return _interrupted(claim, outcome)
        case NotStarted():
            return _settlement(
                claim, Status.QUEUED, attempt_delta=-1, evidence={"outcome": "not_started"}
            )
        case Bystander():
            return _settlement(
                claim,
                Status.QUEUED,
                released_delta=1,
                evidence={"outcome": "bystander", **outcome.evidence},
            )
        case HandlerUnavailable():
            return _settlement(
                claim,
                Status.QUEUED,
                attempt_delta=-1,
                evidence={"outcome": "handler_unavailable", "message": outcome.message},
            )


def _interrupted(claim: Claim, outcome: Interrupted) -> Settlement:
    too_often = claim.interrupted + 1 > MAX_INTERRUPTED
    return _settlement(
        claim,
        Status.FAILED if too_often else Status.QUEUED,
        interrupted_delta=1,
        error=interrupted_too_often(claim.attempt) if too_often else None,
        evidence={"outcome": "interrupted", **outcome.evidence},
    )


def interrupted_too_often(attempt: int) -> JobError:
    """Return the error of a job whose attempts were interrupted more than MAX_INTERRUPTED times."""
    return JobError(
        "interrupted_too_often",
        f"The job was interrupted more than {MAX_INTERRUPTED} times before it could end.",
        retryable=True,
        attempt=attempt,
    )


def was_cancelled(attempt: int) -> JobError:
    """Return the error of a job that was cancelled; `attempt` is 0 if it has never run."""
    return JobError("cancelled", "The job was cancelled.", retryable=True, attempt=attempt or None)
