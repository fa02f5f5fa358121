"""What a handler raises or returns to say how its attempt ends, beyond a plain value.

Not here: what becomes of the job then (the daemon decides; see domain/outcomes.py).
"""

import math
import re
from typing import Any

import msgspec

DEFAULT_CODE = "handler_error"

_CODE = re.compile(r"[a-z][a-z0-9_]{1,62}")


class Retry(Exception):  # noqa: N818 - named for what it asks for
    """Fail this attempt; the job is tried again, as long as it has attempts left.

    `in_s` names the wait, for a service that said when to come back; without it the
    handler's backoff decides. `code` is a stable word for programs (`rate_limited`),
    `message` a sentence for people; both show in the job's `error` until the next attempt.
    Raise it `from` the exception behind it to keep that one's traceback.
    """

    def __init__(
        self, in_s: float | None = None, *, code: str = DEFAULT_CODE, message: str = ""
    ) -> None:
        super().__init__(message or code)
        self.in_s = None if in_s is None else _seconds(in_s)
        self.code = _checked_code(code)
        self.message = message or code


class Discard(Exception):  # noqa: N818
    """Fail the job for good: no further attempt can help.

    For input that is wrong today and will be wrong tomorrow. `code` is a stable word for
    programs (`source_not_found`), `message` a sentence for people.
    """

    def __init__(self, *, code: str = DEFAULT_CODE, message: str = "") -> None:
        super().__init__(message or code)
        self.code = _checked_code(code)
        self.message = message or code


class Snooze(Exception):  # noqa: N818
    """Nothing to do yet: end this attempt and run the job again in `in_s` seconds.

    It counts as no failure.
    """

    def __init__(self, in_s: float) -> None:
        super().__init__(f"again in {in_s} s")
        self.in_s = _seconds(in_s)


class Cancelled(BaseException):
    """Somebody cancelled the job, or this attempt no longer owns it.

    Raised by `check_cancelled()` and `checkpoint()` of a `def` handler; let it pass. It is
    no Exception, so that `except Exception` around one item does not swallow it. An
    `async def` handler sees asyncio.CancelledError instead.
    """


class Partial(msgspec.Struct, frozen=True):
    """Return this when some of many items failed: the job is completed, and says so.

    `result` is what the handler would have returned otherwise; the counts become the
    job's `result_summary`. With `failed=0` it is the same as returning `result`.
    """

    result: Any
    total: int
    succeeded: int
    failed: int

    def __post_init__(self) -> None:
        if min(self.succeeded, self.failed) < 0 or self.succeeded + self.failed > self.total:
            raise ValueError(
                f"{self.succeeded} succeeded and {self.failed} failed of {self.total} cannot be"
            )


def _checked_code(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ValueError(f"an error code must match ^{_CODE.pattern}$, got {code!r}")
    return code


def _seconds(value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"expected seconds, 0 or more, got {value!r}")
    return float(value)
