"""A job as it stands right after its insert, or its end, known without reading it back.

Not here: how it is stored (store/jobs.py), how it looks on the wire (wire/).
"""

from jobd.domain.events import Event
from jobd.domain.jobs import Claim, Inputs, Job, NewJob, Settlement
from jobd.domain.statuses import Status


def as_stored(new: NewJob, seq: int, event_id: int) -> Job:
    """Return the job with the seq and the event that it was given."""
    return Job(
        seq=seq,
        job_id=new.job_id,
        principal=new.principal,
        kind=new.kind,
        queue=new.queue,
        lane=new.lane,
        priority=new.priority,
        status=Status.QUEUED if new.run_at_ms is None else Status.SCHEDULED,
        metadata=new.metadata,
        created_at_ms=new.created_at_ms,
        updated_at_ms=new.created_at_ms,
        run_at_ms=new.run_at_ms,
        started_at_ms=None,
        finished_at_ms=None,
        expires_at_ms=None,
        start_before_ms=new.start_before_ms,
        attempt=0,
        failures=0,
        crashes=0,
        interrupted=0,
        released=0,
        snoozes=0,
        max_attempts=new.max_attempts,
        timeout_ms=new.timeout_ms,
        retention_ms=new.retention_ms,
        cancel_requested=False,
        partial=False,
        retry_of=None,
        retried_as=None,
        event_id=event_id,
        inputs=Inputs(new.args, new.metadata, new.traceparent, new.callback_url, new.request_id),
    )


def as_completed(new: NewJob, claim: Claim, settlement: Settlement, event: Event) -> Job:
    """Return the job whose only attempt has completed, to which nothing else has happened."""
    return Job(  # by position, at a fifth of the cost
        event.seq,
        new.job_id,
        new.principal,
        new.kind,
        new.queue,
        claim.lane,
        new.priority,
        Status.COMPLETED,
        new.metadata,
        new.created_at_ms,
        event.at_ms,
        new.run_at_ms,
        claim.claimed_at_ms,
        event.at_ms,
        event.data["expires_at_ms"],
        new.start_before_ms,
        event.attempt,
        claim.failures,
        claim.crashes,
        claim.interrupted,
        claim.released,
        claim.snoozes,
        new.max_attempts,
        new.timeout_ms,
        new.retention_ms,
        cancel_requested=False,
        partial=settlement.partial,
        retry_of=None,
        retried_as=None,
        event_id=event.id,
        summary=settlement.summary,
        has_result=settlement.result is not None,
        inputs=Inputs(new.args, new.metadata, new.traceparent, new.callback_url, new.request_id),
        result=settlement.result,
    )
