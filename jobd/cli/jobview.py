"""How a job looks on the terminal: the columns of a list and the lines of `jobd show`."""

from collections.abc import Iterator
from datetime import datetime

from jobd.cli.output import Column, View, age, duration, now, size_text
from jobd.wire.jobs import Artifact, Job, JobDetail

_COLOURS = {
    "completed": "green",
    "failed": "red",
    "cancelled": "magenta",
    "retrying": "yellow",
    "processing": "cyan",
}


def _colour(job: Job) -> str | None:
    return "yellow" if job.partial else _COLOURS.get(job.status)


def status_text(job: Job) -> str:
    """Return the status, and whether the result is partial."""
    return f"{job.status} (partial)" if job.partial else job.status


def _note(job: Job) -> str:
    if job.error is not None:
        return job.error.code
    if job.result_summary is not None:
        return f"{job.result_summary.failed} of {job.result_summary.total} failed"
    return " ".join(part for part in (job.step, job.message) if part)


def took(job: Job) -> str:
    """Return how long the job ran, or has been running."""
    return duration(job.started_at, job.completed_at or (now() if job.started_at else None))


VIEW: View[Job] = View(
    items="jobs",
    name=lambda job: job.job_id,
    columns=(
        Column("JOB", lambda job: job.job_id),
        Column("KIND", lambda job: job.kind),
        Column("STATUS", status_text, colour=_colour),
        Column("DONE", lambda job: f"{job.progress_pct:.0f} %"),
        Column("AGE", lambda job: age(job.created_at, now())),
        Column("NOTE", _note),
        Column("QUEUE", lambda job: job.queue, wide=True),
        Column("PRIORITY", lambda job: str(job.priority), wide=True),
        Column("ATTEMPT", lambda job: f"{job.attempt}/{job.max_attempts}", wide=True),
        Column("TOOK", took, wide=True),
    ),
)


def _moment(moment: datetime | None, at: datetime) -> str:
    if moment is None:
        return ""
    relative = age(moment, at)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ} ({relative if moment > at else relative + ' ago'})"


def fields(job: JobDetail) -> Iterator[tuple[str, str]]:
    """Yield what `jobd show` says about a job, name and value; empty values say nothing."""
    at = now()
    yield "job", job.job_id
    yield "kind", job.kind
    yield "queue", f"{job.queue}, priority {job.priority}"
    yield "status", status_text(job) + (", cancel requested" if job.cancel_requested else "")
    yield "waiting for", job.waiting_for or ""
    yield "progress", f"{job.progress_pct:.0f} %"
    yield "step", job.step or ""
    yield "message", job.message or ""
    yield "attempt", f"{job.attempt} of {job.max_attempts}"
    yield "created", _moment(job.created_at, at)
    yield "due", _moment(job.next_attempt_at or job.run_at, at)
    yield "started", _moment(job.started_at, at)
    yield "ended", _moment(job.completed_at, at)
    yield "took", took(job)
    yield "kept until", _moment(job.expires_at, at)
    yield "metadata", ", ".join(f"{key}={value}" for key, value in job.metadata.items())
    yield "args", bytes(job.args).decode()
    yield from _ending(job)


def _ending(job: JobDetail) -> Iterator[tuple[str, str]]:
    if job.error is not None:
        yield "error", f"{job.error.code}: {job.error.message}"
        yield "failed step", job.error.failed_step or ""
    if job.result_summary is not None:
        summary = job.result_summary
        yield "items", f"{summary.succeeded} of {summary.total} succeeded, {summary.failed} failed"
    if job.result_info is not None:
        yield "result", bytes(job.result).decode() if job.result != b"null" else _file(job)


def _file(job: JobDetail) -> str:
    if job.result_info is None:
        return ""
    return f"{size_text(job.result_info.size_bytes)} of {job.result_info.media_type}"


ARTIFACT_COLUMNS: tuple[Column[Artifact], ...] = (
    Column("ARTIFACT", lambda artifact: artifact.name),
    Column("SIZE", lambda artifact: size_text(artifact.size_bytes)),
    Column("TYPE", lambda artifact: artifact.media_type),
    Column("ATTEMPT", lambda artifact: str(artifact.attempt)),
)
