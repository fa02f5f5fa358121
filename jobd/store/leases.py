"""What the writer remembers of the jobs that run, so that settling one reads nothing back.

A settlement goes by it for what it tells, never for what it may write: whose the lease is,
the file says. What is not in it is read from the file.

Not here: giving leases (claims.py), settling them (jobs.py).
"""

from collections.abc import Iterable
from typing import NamedTuple

from jobd.domain.jobs import Claim


class Lease(NamedTuple):
    """A claim, and what its end tells of its job: none of it changes while the job runs."""

    claim: Claim
    principal: str
    callback_mask: int
    retention_ms: int


class Leases:
    """Those that this start has given, and that no commit has ended."""

    def __init__(self) -> None:
        self._held: dict[str, Lease] = {}
        self._marked: set[str] = set()

    def get(self, token: str) -> Lease | None:
        """Return the lease of a token; None is no sign that there is none."""
        return self._held.get(token)

    def mark(self, tokens: Iterable[str]) -> None:
        """Note that these have stored progress or a checkpoint; no harm if that is undone."""
        self._marked.update(token for token in tokens if token in self._held)

    def leaves_something(self, lease: Lease) -> bool:
        """Whether there may be progress or a checkpoint of the job."""
        claim = lease.claim
        return claim.checkpoint is not None or claim.token in self._marked

    def committed(self, given: Iterable[Lease], ended: Iterable[str]) -> None:
        """Take over what a commit has done."""
        for lease in given:
            self._held[lease.claim.token] = lease
        for token in ended:
            self._held.pop(token, None)
            self._marked.discard(token)
