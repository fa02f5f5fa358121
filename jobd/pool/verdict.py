"""What the death of a worker means for each attempt that it had taken: who is to blame for it.

Pure but for the clock. Not here: finding out that it is dead (process.py), what becomes of
the jobs (domain/outcomes.decide).
"""

from collections.abc import Sequence
from typing import Any

from jobd.domain.outcomes import Bystander, CancelledByRequest, Crashed, NotStarted, Outcome
from jobd.pool.attempt import Attempt
from jobd.pool.process import Exit
from jobd.pool.reports import asked_to_end


class Verdict:
    """Made when a worker has died."""

    def __init__(
        self,
        taken: Sequence[Attempt],
        *,
        running: int | None,
        sacrificed: Attempt | None,
        stalled: bool,
    ) -> None:
        """Judge those that it had taken.

        `running` is the number of the job whose code ran when it died, None in the cpu
        lane; `sacrificed` the one for which it was killed, with a reason of its own;
        `stalled` says that it was killed because its loop stood still.
        """
        self._sacrificed, self._stalled = sacrificed, stalled
        if sacrificed is not None:
            self._culprits: list[Attempt] = []  # also if its reply came at the last moment
        elif running is None or len(taken) == 1:
            self._culprits = list(taken)
        else:
            self._culprits = [attempt for attempt in taken if attempt.number == running]

    @property
    def culprit(self) -> Attempt | None:
        """The one that took it down, if that is known."""
        return self._culprits[0] if len(self._culprits) == 1 else None

    @property
    def lost_to(self) -> str | None:
        """The kind whose job took it down, or for which it had to be killed."""
        if self._sacrificed is not None and self._sacrificed.asked != "drain":
            return self._sacrificed.claim.kind
        return self.culprit.claim.kind if self.culprit else None

    def on(
        self, attempt: Attempt, how: Exit, *, broken: str | None, cpu_before_s: float | None
    ) -> Outcome:
        """Return the outcome of one that did not come to report.

        `broken` is what the worker did against the protocol, `cpu_before_s` the CPU time
        that it had used before the attempt, None if that is not known.
        """
        if attempt.reported is not None:
            return attempt.reported
        evidence: dict[str, Any] = {**how.evidence(), **attempt.seen()}
        if how.cpu_s is not None and cpu_before_s is not None:
            evidence["cpu_seconds"] = round(max(0.0, how.cpu_s - cpu_before_s), 6)
        step = attempt.progress.step
        if attempt.reason is not None:
            return asked_to_end(
                attempt.claim, attempt.reason, evidence, limits=attempt.limits, failed_step=step
            )
        if attempt not in self._culprits:
            return Bystander(evidence)
        if self._stalled:
            message = f"The loop that it shares with other jobs {broken}."
            return Crashed(message, evidence, "loop_blocked", step)
        return Crashed(f"The worker {broken or how}.", evidence, failed_step=step)


def not_started(attempt: Attempt) -> Outcome:
    """Return the outcome of one that the worker had not taken."""
    return CancelledByRequest() if attempt.asked == "cancel" else NotStarted()
