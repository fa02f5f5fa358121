"""What the end of an attempt means: a worker's report, its death, or our own doing, as an Outcome.

A report is written as it is, so nothing of it is believed that could not be written: it is
whatever the plugins of that worker have made of it.

Pure. Not here: what becomes of the job (domain/outcomes.decide).
"""

import hashlib
import math
from typing import Any, Literal

import msgspec

from jobd.domain.jobs import Artifact, Claim, JobError, Result, Summary
from jobd.domain.outcomes import (
    CancelledByRequest,
    Completed,
    Failed,
    HandlerUnavailable,
    Interrupted,
    Outcome,
    Snoozed,
)
from jobd.pool.protocol import Finished
from jobd.pool.settings import AttemptLimits
from jobd.sdk.outcome import Ended, Error, Left

Reason = Literal["timeout", "cancel", "drain", "lost", "memory", "heartbeat", "setup"]
"""Why an attempt was asked to end; lost: its checkpoint could not be stored."""

UNAVAILABLE = "handler_unavailable"
WORKER_CPU = "worker_cpu_seconds"
"""In a report's usage: the CPU time of the worker's whole life, which is no attempt's."""

_NO_LIMITS = AttemptLimits()
_MIB = 1024 * 1024
_SHA256 = hashlib.sha256()
_ANY_JSON = msgspec.json.Decoder(msgspec.Raw)
_LARGEST_BYTES = 2**63 - 1
_LONGEST_WAIT_S = 1e9
_LAST_MOMENT_S = 253402300799
"""The end of the year 9999."""

_RESULT_NAME = ".result.json"
"""The sdk's name for a JSON result that is too long for the reply; no handler can use it."""


def reported(
    claim: Claim,
    frame: Finished,
    reason: Reason | None,
    limits: AttemptLimits = _NO_LIMITS,
) -> Outcome:
    """Return what a report means, after the attempt was asked to end for `reason`, or not.

    Raises ValueError for a report that contradicts itself.
    """
    ended, evidence = frame.ended, _evidence(frame)
    artifacts = _artifacts(claim, ended)
    match ended.status:
        case "completed":
            summary = None if ended.summary is None else Summary(*ended.summary)
            return Completed(
                result=_result(claim, ended),
                partial=summary is not None,
                summary=summary,
                artifacts=artifacts,
                evidence=evidence,
            )
        case "failed" if ended.error is not None and _was_not_imported(frame, ended.error):
            return HandlerUnavailable(ended.error.message)
        case "failed" if ended.error is not None:
            error = _job_error(ended.error)
            wait_s = None if ended.retry_in_s is None else _wait_s(ended.retry_in_s)
            return Failed(error, wait_s, artifacts=artifacts, evidence=evidence)
        case "snoozed" if ended.snooze_in_s is not None:
            return Snoozed(_wait_s(ended.snooze_in_s), evidence=evidence)
        case "cancelled":
            return asked_to_end(claim, reason, evidence, artifacts, limits=limits)
    raise ValueError(f"a report of status {ended.status} lacks what belongs to it")


def asked_to_end(
    claim: Claim,
    reason: Reason | None,
    evidence: dict[str, Any],
    artifacts: tuple[Artifact, ...] = (),
    *,
    limits: AttemptLimits = _NO_LIMITS,
    failed_step: str | None = None,
) -> Outcome:
    """Return what it means that an attempt ended after it was asked to for `reason`."""
    match reason:
        case "cancel":
            return CancelledByRequest(artifacts=artifacts, evidence=evidence)
        case "drain" | "lost":
            return Interrupted(evidence=evidence)
        case _:
            code, message = _fault(claim, reason, limits)
            error = JobError(code, message, retryable=True, failed_step=failed_step)
            return Failed(error, artifacts=artifacts, evidence=evidence)


def _fault(
    claim: Claim,
    reason: Literal["timeout", "memory", "heartbeat", "setup"] | None,
    limits: AttemptLimits,
) -> tuple[str, str]:
    """Return code and message of an end that counts as the handler's failure."""
    match reason:
        case "timeout":
            limit_s = claim.timeout_ms / 1000
            return "timeout", f"The attempt did not end within its {limit_s:g} s."
        case "memory":
            limit_mb = (limits.memory_bytes or 0) / _MIB
            return "memory_limit", f"The attempt used more than its {limit_mb:g} MiB of memory."
        case "heartbeat":
            limit_s = limits.heartbeat_timeout_s or 0.0
            return "heartbeat_lost", f"Nothing was heard of the attempt for {limit_s:g} s."
        case "setup":
            limit_s = limits.setup_timeout_s
            return "setup_timeout", f"The handler was not set up within {limit_s:g} s."
        case None:
            return (
                "handler_error",
                "The handler ended as if it had been cancelled, and nobody had asked it to.",
            )


def _was_not_imported(frame: Finished, error: Error) -> bool:
    """Whether nothing of the handler ran: then its worker cannot tell where it comes from."""
    return error.code == UNAVAILABLE and not frame.handler


def _wait_s(seconds: float) -> float:
    """Return how long to wait: no longer than any job lives."""
    if not math.isfinite(seconds):
        raise ValueError(f"a wait of {seconds} s")
    return min(seconds, _LONGEST_WAIT_S)


def _job_error(error: Error) -> JobError:
    try:
        msgspec.json.encode(error.details)
    except (TypeError, RecursionError) as exc:
        raise ValueError(f"details that are no JSON: {exc}") from None
    return JobError(
        error.code,
        error.message,
        retryable=error.retryable,
        failed_step=error.failed_step,
        details=error.details,
    )


def _result(claim: Claim, ended: Ended) -> Result | None:
    body, name = ended.result_json, ended.result_artifact
    if body is not None:
        _check_json(body)
        digest = _SHA256.copy()  # half as long as a new one takes, for a small body
        digest.update(body)
        return Result("application/json", len(body), digest.hexdigest(), body=body)
    if name is None:
        return None
    for left in ended.artifacts:
        if left.name == name:
            return Result(
                left.media_type,
                left.size_bytes,
                left.sha256,
                path=_path(claim, left),
                filename=None if name == _RESULT_NAME else name,
            )
    raise ValueError(f"the result {name!r} is none of the reported files")


def _check_json(body: bytes) -> None:
    """Raise ValueError unless it is one JSON text in UTF-8."""
    body.decode()
    try:
        _ANY_JSON.decode(body)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError(f"a result that is no JSON: {exc}") from None


def _artifacts(claim: Claim, ended: Ended) -> tuple[Artifact, ...]:
    if not ended.artifacts:
        return ()
    return tuple(
        Artifact(
            left.name,
            _path(claim, left),
            left.media_type,
            left.size_bytes,
            left.sha256,
            claim.attempt,
        )
        for left in ended.artifacts
        if left.name != _RESULT_NAME
    )


def _path(claim: Claim, left: Left) -> str:
    if "/" in left.name or left.name in ("", ".", ".."):
        raise ValueError(f"{left.name!r} is no name of a file")
    if not 0 <= left.size_bytes <= _LARGEST_BYTES:
        raise ValueError(f"a file of {left.size_bytes} bytes")
    return f"{claim.job_id}/{claim.token}/{left.name}"


def _evidence(frame: Finished) -> dict[str, Any]:
    ended = frame.ended
    evidence: dict[str, Any] = {"duration_s": ended.duration_s, **frame.usage}
    evidence.pop(WORKER_CPU, None)
    if frame.handler:
        evidence["handler"] = frame.handler
    if ended.steps:
        evidence["steps"] = [
            {"name": name, "started_at_ms": _moment_ms(started_at), "duration_s": duration_s}
            for name, started_at, duration_s in ended.steps
        ]
    if ended.error is not None and ended.error.traceback is not None:
        evidence["traceback"] = ended.error.traceback
    return evidence


def _moment_ms(seconds: float) -> int:
    if not 0 <= seconds <= _LAST_MOMENT_S:
        raise ValueError(f"a step that began at {seconds} s")
    return round(seconds * 1000)
