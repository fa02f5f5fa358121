"""What a worker is told: where it lives and what it may do, and each job.

Not here: when it is told (worker.py), how it is framed (protocol.py, handover.py).
"""

from pathlib import Path

import msgspec

from jobd.domain.catalog import Lane
from jobd.pool.attempt import Attempt
from jobd.pool.cgroup import Cgroups
from jobd.pool.protocol import Hello, Job
from jobd.pool.settings import Settings


class Place(msgspec.Struct):
    """Where a worker lives: the folders of its jobs, and the lock whose holder it proves alive."""

    scratch: Path
    artifacts: Path
    uploads: Path
    lock_fd: int
    cgroups: Cgroups | None = None
    """Where its control group is made, if it can have one."""


def hello(lane: Lane, settings: Settings, place: Place, mark: bytes) -> Hello:
    """Return the greeting of a new worker; `mark` is that of its output."""
    return Hello(
        lane=lane,
        allow_paths=settings.allow_paths,
        inline_result_bytes=settings.inline_result_bytes,
        result_bytes=settings.result_bytes,
        artifact_bytes=settings.artifact_bytes,
        uploads_dir=str(place.uploads),
        log_level=settings.log_level,
        mark=mark,
        config=settings.plugin_config,
    )


def job(attempt: Attempt, place: Place) -> Job:
    """Return the message that hands an attempt over."""
    claim = attempt.claim
    return Job(
        token=claim.token,
        number=attempt.number,
        job_id=claim.job_id,
        kind=claim.kind,
        attempt=claim.attempt,
        max_attempts=claim.max_attempts,
        timeout_s=claim.timeout_ms / 1000,
        args=claim.args,
        metadata=claim.metadata,
        traceparent=claim.traceparent,
        restored=claim.checkpoint,
        # joined as text: this is done for every job
        scratch_dir=f"{place.scratch}/{claim.token}",
        artifacts_dir=f"{place.artifacts}/{claim.job_id}/{claim.token}",
    )
