"""What the end of an attempt means: a worker's report, its death, or our own doing, as an Outcome.

Pure. Not here: what becomes of the job (domain/outcomes.decide).
"""

import hashlib
from typing import Any, Literal

from jobd.domain.jobs import Artifact, Claim, JobError, Result, Summary
from jobd.domain.outcomes import (
    CancelledByRequest,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Snoozed,
)
from jobd.pool.protocol import Finished
from jobd.sdk.outcome import Ended, Error, Left

Reason = Literal["timeout", "cancel", "drain", "lost"]
"""Why an attempt was asked to end; lost: its checkpoint could not be stored."""

_RESULT_NAME = ".result.json"
"""The sdk's name for a JSON result that is too long for the reply; no handler can use it."""


def reported(claim: Claim, frame: Finished, reason: Reason | None) -> Outcome:
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
        case "failed" if ended.error is not None:
            error = _job_error(ended.error)
            return Failed(error, ended.retry_in_s, artifacts=artifacts, evidence=evidence)
        case "snoozed" if ended.snooze_in_s is not None:
            return Snoozed(ended.snooze_in_s, evidence=evidence)
        case "cancelled":
            return asked_to_end(claim, reason, evidence, artifacts)
    raise ValueError(f"a report of status {ended.status} lacks what belongs to it")


def asked_to_end(
    claim: Claim,
    reason: Reason | None,
    evidence: dict[str, Any],
    artifacts: tuple[Artifact, ...] = (),
) -> Outcome:
    """Return what it means that an attempt ended after it was asked to for `reason`."""
    match reason:
        case "timeout":
            limit_s = claim.timeout_ms / 1000
            error = JobError(
                "timeout", f"The attempt did not end within its {limit_s:g} s.", retryable=True
            )
            return Failed(error, artifacts=artifacts, evidence=evidence)
        case "cancel":
            return CancelledByRequest(artifacts=artifacts, evidence=evidence)
        case "drain" | "lost":
            return Interrupted(evidence=evidence)
        case None:
            error = JobError(
                "handler_error",
                "The handler ended as if it had been cancelled, and nobody had asked it to.",
                retryable=True,
            )
            return Failed(error, artifacts=artifacts, evidence=evidence)


def _job_error(error: Error) -> JobError:
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
        digest = hashlib.sha256(body).hexdigest()
        return Result("application/json", len(body), digest, body=body)
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


def _artifacts(claim: Claim, ended: Ended) -> tuple[Artifact, ...]:
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
    return f"{claim.job_id}/{claim.token}/{left.name}"


def _evidence(frame: Finished) -> dict[str, Any]:
    ended = frame.ended
    evidence: dict[str, Any] = {"duration_s": ended.duration_s, **frame.usage}
    if frame.handler:
        evidence["handler"] = frame.handler
    if ended.steps:
        evidence["steps"] = [
            {"name": name, "started_at_ms": round(started_at * 1000), "duration_s": duration_s}
            for name, started_at, duration_s in ended.steps
        ]
    if ended.error is not None and ended.error.traceback is not None:
        evidence["traceback"] = ended.error.traceback
    return evidence
