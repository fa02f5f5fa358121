"""When a waiting job has waited too long, and what is then said of it.

Not here: finding such jobs and failing them (store/deadlines.py), the limit of a running
attempt (pool/).
"""

from typing import Literal

from jobd.domain.jobs import JobError

Doom = Literal["expired", "start_deadline", "handler_missing"]
"""Why a job that waits is failed: the code of its error."""

_MESSAGES: dict[Doom, str] = {
    "expired": "The job had not ended so long after its submission as jobs.max_age_s allows.",
    "start_deadline": "The job had not been started by its start_before.",
    "handler_missing": "There was no handler for {kind} for as long as jobs.handler_missing_s"
    " lets a job wait for one. Is its plugin installed?",
}


def waited_too_long(code: Doom, kind: str, attempt: int) -> JobError:
    """Return the error of a job that was failed while it waited; 0 attempts: it never ran."""
    message = _MESSAGES[code].format(kind=kind)
    return JobError(code, message, retryable=True, attempt=attempt or None)
