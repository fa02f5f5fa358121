"""What jobd refuses, and why: the tree of expected errors.

    JobdError
    ├── NotFound         no such thing, or not yours
    ├── Gone             it was there and has expired
    ├── Forbidden        the caller is known, and may not
    ├── Conflict         its state does not allow that
    ├── Malformed        could not be parsed
    ├── Invalid          parsed, but breaks a rule; `errors` says which
    ├── TooLarge         over a limit of size
    ├── LimitReached     too many of yours
    ├── Unavailable      not now; try again
    ├── OutcomeUnknown   it may or may not have happened; retry with the same key
    ├── StorageFull      no room on disk
    └── LeaseLost        somebody else owns this attempt now

Anything else that is raised is a bug. The HTTP status stands in api/problems.py, the
CLI's exit code in cli/exits.py.
"""

from collections.abc import Iterable
from urllib.parse import quote

import msgspec

_FRAGMENT_SAFE = "!$&'()*+,;=:@-._~?"
"""What may stand in a URI's fragment as it is; `/` separates the parts of a pointer."""


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One violated rule: what, and where (a JSON Pointer fragment, or a parameter or header)."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None
    code: str | None = None
    line: int | None = None


def pointer(path: Iterable[str | int]) -> str:
    """Return `path` as a JSON Pointer URI fragment (RFC 6901, section 6)."""
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "#" + "".join(f"/{quote(part, safe=_FRAGMENT_SAFE)}" for part in escaped)


class JobdError(Exception):
    """Base of all that jobd refuses; `code` is the stable word of the wire contract."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        retryable: bool = False,
        errors: tuple[FieldError, ...] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retryable = retryable
        self.errors = errors
        self.retry_after_s = retry_after_s


class NotFound(JobdError):  # noqa: N818 - named for what happened, as the wire codes are
    """No such thing."""


class Gone(JobdError):  # noqa: N818
    """It was there and has expired; of a job, `job_id` says which."""

    def __init__(self, code: str, detail: str, *, job_id: str | None = None) -> None:
        super().__init__(code, detail)
        self.job_id = job_id


class Forbidden(JobdError):  # noqa: N818
    """The caller is known and may not do this: it needs `scope`."""

    def __init__(self, detail: str, scope: str) -> None:
        super().__init__("forbidden", detail)
        self.scope = scope


class Conflict(JobdError):  # noqa: N818
    """The thing's state does not allow this."""


class Malformed(JobdError):  # noqa: N818
    """The request could not be parsed."""


class Invalid(JobdError):  # noqa: N818
    """The request was parsed and breaks a rule; `errors` names each violation."""


class TooLarge(JobdError):  # noqa: N818
    """The request is over a limit of size."""


class LimitReached(JobdError):  # noqa: N818
    """The caller has too many of something."""


class Unavailable(JobdError):  # noqa: N818
    """Not now; the same request may succeed later."""


class OutcomeUnknown(JobdError):  # noqa: N818
    """The write may or may not have happened; retry with the same idempotency key."""


class StorageFull(JobdError):  # noqa: N818
    """No room on disk."""


class LeaseLost(JobdError):  # noqa: N818
    """The lease token is stale: somebody else owns this attempt, or it has been settled."""
