"""Problem documents (RFC 9457): how every refusal looks on the wire.

Not here: which code has which status and title (api/problems.py).
"""

import msgspec

from jobd.domain.errors import FieldError
from jobd.wire.jobs import JobError

MEDIA_TYPE = "application/problem+json"


def type_uri(code: str) -> str:
    """Return the problem type that stands for `code`."""
    return f"urn:jobd:problem:{code}"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One refusal; `code` is stable, `title` fixed per code, `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: tuple[FieldError, ...] = ()
    """Each violated rule, and where."""
    retryable: bool | msgspec.UnsetType = msgspec.UNSET
    """Whether the same request may succeed later; absent when not known."""
    error: JobError | msgspec.UnsetType = msgspec.UNSET
    """With `job_failed`: why the job failed."""
    job_id: str | msgspec.UnsetType = msgspec.UNSET
    """With `job_expired`: which job that was."""
