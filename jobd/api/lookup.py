"""Finding the job that a URL names, as its caller may see it.

Another principal's job answers as one that never was, unless the caller may read all. A
removed job leaves no trace; its id says when it was made, and one older than the retention
is called expired.

Not here: what a caller may do whosever job it is (access.py).
"""

from aiohttp import web

from jobd.api import parameters
from jobd.api.auth import CALLER
from jobd.api.services import Services
from jobd.domain.errors import Forbidden, Gone, JobdError, NotFound
from jobd.domain.ids import JOB_ID
from jobd.domain.jobs import Job
from jobd.domain.principals import Caller, Scope


async def find_job(services: Services, request: web.Request, *, detail: bool = False) -> Job:
    """Return the job of the request's path, to be read; raises NotFound or Gone."""
    return await find(services, request[CALLER], request.match_info["job_id"], detail=detail)


async def find(services: Services, caller: Caller, job_id: str, *, detail: bool = False) -> Job:
    """Return a job that the caller may read; raises NotFound or Gone."""
    if JOB_ID.fullmatch(job_id) is None or caller.job_id not in {None, job_id}:
        raise _unknown(job_id)
    job = await services.readers.get(job_id, detail=detail)
    now_ms = services.clock.wall_ms()
    if job is None or not (caller.job_id or may_see(caller, job.principal)):
        raise _missing(job_id, now_ms - services.config.retention.default_s * 1000)
    refuse_expired(job, now_ms)
    return job


async def find_job_to_change(services: Services, request: web.Request) -> Job:
    """Return the job of the request's path, to be changed; raises Forbidden as well."""
    job = await find_job(services, request)
    if request[CALLER].job_id is None:
        refuse_to_change(request[CALLER], job.principal)
    return job


def may_see(caller: Caller, principal: str) -> bool:
    """Return whether what is a principal's is there for the caller."""
    return caller.principal == principal or caller.may(Scope.READ)


def whose(request: web.Request) -> str | None:
    """Return whose things are to be listed, None for everybody's; raises Malformed or Forbidden."""
    caller = request[CALLER]
    if not parameters.flag(request, "all"):
        return caller.principal
    if not caller.may(Scope.READ):
        raise Forbidden("To see what is others' takes the scope `read`.", Scope.READ)
    return None


def refuse_to_change(caller: Caller, principal: str) -> None:
    """Raise Forbidden if the caller sees what is a principal's and may not change it."""
    if caller.principal != principal and not caller.may(Scope.OPERATE):
        raise Forbidden("To change what is another's takes the scope `operate`.", Scope.OPERATE)


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
