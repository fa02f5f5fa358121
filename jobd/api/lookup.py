"""Finding the job that a URL names, as its principal may see it.

Another principal's job answers as one that never was. A removed job leaves no trace; its
id says when it was made, and one older than the retention is called expired.
"""

from aiohttp import web

from jobd.api.auth import PRINCIPAL
from jobd.api.services import Services
from jobd.domain.errors import Gone, JobdError, NotFound
from jobd.domain.ids import JOB_ID
from jobd.domain.jobs import Job


async def find_job(services: Services, request: web.Request, *, detail: bool = False) -> Job:
    """Return the job of the request's path; raises NotFound or Gone."""
    job_id = request.match_info["job_id"]
    if JOB_ID.fullmatch(job_id) is None:
        raise _unknown(job_id)
    job = await services.readers.get(job_id, detail=detail)
    now_ms = services.clock.wall_ms()
    if job is None or job.principal != request[PRINCIPAL]:
        raise _missing(job_id, now_ms - services.config.retention.default_s * 1000)
    refuse_expired(job, now_ms)
    return job


def refuse_expired(job: Job, now_ms: int) -> None:
    """Raise Gone when the job's retention is over, though its row may still be there."""
    if job.expires_at_ms is not None and job.expires_at_ms <= now_ms:
        raise _expired(job.job_id)


def _missing(job_id: str, kept_since_ms: int) -> JobdError:
    created_at_ms = int(job_id.removeprefix("job_")[:12], 16)
    return _expired(job_id) if created_at_ms < kept_since_ms else _unknown(job_id)


def _unknown(job_id: str) -> NotFound:
    return NotFound("job_not_found", f"There is no job {job_id}.")


def _expired(job_id: str) -> Gone:
    detail = f"The job {job_id} is older than its retention."
    return Gone("job_expired", detail, job_id=job_id)
