"""How many requests of a sort one principal may have under way.

Not here: streams (streams.py), how often somebody may ask (rates.py).
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from jobd.domain.errors import LimitReached


class UnderWay:
    """Requests of one sort, at most `limit` of one principal at a time."""

    def __init__(self, limit: int, code: str, what: str) -> None:
        """Refuse with `code`, in words about `what`: "uploads"."""
        self._limit = limit
        self._code = code
        self._what = what
        self._counts: Counter[str] = Counter()

    @contextmanager
    def one(self, principal: str) -> Iterator[None]:
        """Count one while the block runs; raises LimitReached."""
        if self._counts[principal] >= self._limit:
            detail = (
                f"{self._limit} {self._what} are under way; a principal may have no more at a time."
            )
            raise LimitReached(self._code, detail, retryable=True)
        self._counts[principal] += 1
        try:
            yield
        finally:
            self._counts[principal] -= 1
            if not self._counts[principal]:
                del self._counts[principal]
