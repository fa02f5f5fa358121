"""How often one caller may ask: a bucket of tokens for each, filled a token at a time.

A bucket is one number, the time at which it will be full again: there is none for who has
not asked for that long. Full ones are dropped as requests come, so no timer is needed.

Not here: what may be under way at a time (under_way.py, streams.py).
"""

import math
from collections.abc import Callable

from jobd.config import Limits
from jobd.domain.errors import LimitReached
from jobd.domain.principals import Caller

MINUTE_S = 60.0

_DROPPED_AT_ONCE = 2
"""More than can come in one request, so that full buckets get fewer."""


class Bucket:
    """The buckets of all callers of one sort: `per_minute` in a minute, and as many at once."""

    def __init__(self, per_minute: int, now_s: Callable[[], float]) -> None:
        """With 0 a minute nobody is refused; `now_s` never goes back."""
        self.limited = per_minute > 0
        self._token_s = MINUTE_S / per_minute if per_minute else 0.0
        self._now_s = now_s
        self._full_at_s: dict[str, float] = {}
        """In the order of their last requests."""

    def __len__(self) -> int:
        return len(self._full_at_s)

    def take(self, name: str) -> float:
        """Take one token of the caller's; return 0, or in how many seconds there will be one."""
        if not self._token_s:
            return 0.0
        now_s = self._now_s()
        self._drop_full(now_s)
        full_at_s = max(self._full_at_s.get(name, now_s), now_s) + self._token_s
        missing_s = full_at_s - now_s - MINUTE_S
        if missing_s > self._token_s / 1000:  # not for what rounding makes of it
            return missing_s
        self._full_at_s.pop(name, None)
        self._full_at_s[name] = full_at_s
        return 0.0

    def _drop_full(self, now_s: float) -> None:
        for _ in range(_DROPPED_AT_ONCE):
            oldest = next(iter(self._full_at_s), None)
            if oldest is None or self._full_at_s[oldest] > now_s:
                return
            del self._full_at_s[oldest]


class Rates:
    """The rates of all callers: those with a token have another than the peers of the socket."""

    def __init__(self, limits: Limits, now_s: Callable[[], float]) -> None:
        self._with_token = Bucket(limits.requests_per_minute, now_s)
        self._of_peers = Bucket(limits.socket_requests_per_minute, now_s)

    def spend(self, caller: Caller) -> None:
        """Count a request of the caller's; raises LimitReached (`rate_limited`).

        Who holds the token of one job is counted by that job.
        """
        bucket = self._with_token if caller.by_token else self._of_peers
        if not bucket.limited:
            return
        wait_s = bucket.take(caller.job_id or caller.principal)
        if wait_s:
            detail = "You ask too often; Retry-After says when the next request is taken."
            raise LimitReached(
                "rate_limited", detail, retryable=True, retry_after_s=math.ceil(wait_s)
            )
