"""What the death of one worker is judged by, kept while it lives.

Not here: the judgement (verdict.py), finding out that it is dead (process.py).
"""

from collections.abc import Sequence

from jobd.domain.catalog import Lane
from jobd.domain.outcomes import Outcome
from jobd.pool.attempt import Attempt
from jobd.pool.marker import Marker
from jobd.pool.process import Exit
from jobd.pool.verdict import Verdict


class Inquest:
    """One worker's."""

    verdict: Verdict

    def __init__(self, lane: Lane, marker: Marker) -> None:
        """Begin with a living worker."""
        self._lane, self._marker = lane, marker
        self.sacrificed: Attempt | None = None
        """For whom it is killed, with a reason of its own: nobody else is to blame."""
        self.blocker: int | None = None
        """The number in the marker when its loop was found standing still."""
        self.cpu_s: float | None = None
        """The CPU time of its life so far, as it was last heard."""

    def open(self, taken: Sequence[Attempt]) -> None:
        """Judge those that it had taken when it died."""
        running = self._marker.running if self.blocker is None else self.blocker
        self.verdict = Verdict(
            taken,
            running=running if self._lane == "io" else None,
            sacrificed=self.sacrificed,
            stalled=self.blocker is not None,
        )

    def fate(self, attempt: Attempt, how: Exit, *, broken: str | None) -> Outcome:
        """Return the outcome of one of them that did not come to report."""
        return self.verdict.on(attempt, how, broken=broken, cpu_before_s=self.cpu_s)

    def last_words(self) -> tuple[int, str, list[str]] | None:
        """Return what faulthandler wrote at its end: whose it is, where it belongs, the lines."""
        report = self._marker.fault()
        if not report:
            return None
        culprit = self.verdict.culprit
        return culprit.number if culprit else 0, "stderr", report.splitlines()
