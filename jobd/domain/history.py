"""A job as it stood right after each of its events, folded from what the events say.

An event holds what its move changed; the first one, and what never changes, give the rest.
The state after the newest event is the job as it is read.

Not here: reading either (store/readers.py), who follows a job (api/).
"""

from bisect import insort
from collections.abc import Sequence
from typing import Any

import msgspec

from jobd.domain.events import Event, status_event
from jobd.domain.jobs import Job, JobError, Progress, Summary
from jobd.domain.statuses import INITIAL, TERMINAL, Status

PROGRESS = "job.progress"
CANCEL_REQUESTED = "job.cancel_requested"

_STATUSES = {status_event(status): status for status in Status}
_FIRST = {status_event(status) for status in INITIAL}
_ENDED = TERMINAL | {Status.RETRYING}
_OF_BIRTH = {"run_at_ms", "start_before_ms"}
_COUNTERS = ("failures", "crashes", "interrupted", "released", "snoozes")
_CARRIED = (*_COUNTERS, "run_at_ms", "expires_at_ms")

Moment = tuple[Event, Job]
"""An event, and the job right after it."""


def is_birth(job: Job, event: Event) -> bool:
    """Whether `event` is the job's first one, as far as `born` needs to know."""
    if event.type not in _FIRST or event.attempt or event.data.keys() - _OF_BIRTH:
        return False
    return "run_at_ms" in event.data or not _was_retried(job)


def _was_retried(job: Job) -> bool:
    """Whether `run_at_ms` may be that of a retry, which takes the place of the one asked for."""
    return job.failures + job.crashes + job.snoozes > 0


def born(job: Job, first: Event) -> Job:
    """Return the job right after its first event; `job` is the same one at any time later."""
    run_at_ms = None if _was_retried(job) else job.run_at_ms
    return msgspec.structs.replace(
        job,
        status=_STATUSES[first.type],
        updated_at_ms=first.at_ms,
        run_at_ms=first.data.get("run_at_ms", run_at_ms),
        started_at_ms=None,
        finished_at_ms=None,
        expires_at_ms=None,
        attempt=first.attempt,
        **dict.fromkeys(_COUNTERS, 0),
        cancel_requested=False,
        partial=False,
        event_id=first.id,
        error=None,
        summary=None,
        progress=None,
        has_result=False,
        inputs=None,
        result=None,
    )


def after(job: Job, event: Event) -> Job:
    """Return the job right after `event`; `job` is as it was right before it."""
    changes: dict[str, Any] = {
        "updated_at_ms": event.at_ms,
        "attempt": event.attempt,
        "event_id": event.id,
    }
    status = _STATUSES.get(event.type)
    if status is not None:
        changes |= _moved(job, status, event)
    elif event.type == PROGRESS:
        changes["progress"] = msgspec.convert(event.data, Progress)
    elif event.type == CANCEL_REQUESTED:
        changes["cancel_requested"] = True
    return msgspec.structs.replace(job, **changes)


def _moved(job: Job, status: Status, event: Event) -> dict[str, Any]:
    data = event.data
    changes: dict[str, Any] = {name: data[name] for name in _CARRIED if name in data}
    changes |= {"status": status, "progress": None, "error": None}
    if status is Status.PROCESSING:
        changes["started_at_ms"] = event.at_ms
    if status in _ENDED:
        error, summary = data.get("error"), data.get("summary")
        changes["error"] = None if error is None else msgspec.convert(error, JobError)
        changes["summary"] = None if summary is None else msgspec.convert(summary, Summary)
        changes["partial"] = data.get("partial", False)
        changes["has_result"] = data.get("has_result", False)
    if status in TERMINAL:
        changes["finished_at_ms"] = event.at_ms
    if status is Status.CANCELLED and job.status is not Status.PROCESSING:
        changes["cancel_requested"] = True
    return changes


def unfold(job: Job, events: Sequence[Event]) -> list[Moment]:
    """Return each event with the job right after it, oldest first.

    `events` are all there are of the job, read after `job` was, so that an id of the job's
    that is not among theirs is that of its progress: it is put in its place.
    """
    if not events:
        return []
    told = list(events)
    if job.progress is not None and all(event.id != job.event_id for event in events):
        insort(told, _progress_event(job, job.progress), key=lambda event: event.id)
    moments = list[Moment]()
    state = born(job, told[0])
    for event in told:
        if event.id == job.event_id:
            state = job
        elif moments:
            state = after(state, event)
        moments.append((event, state))
    return moments


def _progress_event(job: Job, progress: Progress) -> Event:
    said = {
        name: value for name, value in msgspec.to_builtins(progress).items() if value is not None
    }
    return Event(job.event_id, job.seq, job.job_id, PROGRESS, job.updated_at_ms, job.attempt, said)
