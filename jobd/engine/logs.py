"""The logs of running attempts: opened with an attempt's first line, closed when it is over.

Invariant: a log is closed before its attempt is settled, so whoever sees that a job is
done finds all that it wrote.

Not here: what is kept of a log (files/logs.py), where lines come from (pool/output.py).
"""

import logging

from jobd.domain.jobs import Claim
from jobd.files.logs import AttemptLog, Logs

log = logging.getLogger(__name__)


class AttemptLogs:
    """The open logs by lease; an attempt that writes nothing has none."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._open: dict[str, AttemptLog | None] = {}

    def write(self, claim: Claim, stream: str, at_ms: int, lines: tuple[str, ...]) -> None:
        """Add lines to the attempt's log; they are lost, and that is said, if it has none."""
        if claim.token not in self._open:
            self._open[claim.token] = self._begin(claim)
        attempt = self._open[claim.token]
        if attempt is not None:
            attempt.append(at_ms, stream, *lines)

    def close(self, claim: Claim) -> None:
        """End the attempt's log."""
        attempt = self._open.pop(claim.token, None)
        if attempt is not None:
            attempt.close()

    def _begin(self, claim: Claim) -> AttemptLog | None:
        try:
            return self._logs.open(claim.job_id, claim.attempt)
        except OSError as error:
            about = {"job_id": claim.job_id, "attempt": claim.attempt, "reason": str(error)}
            log.warning("The log of an attempt cannot be kept.", extra=about)
            return None
