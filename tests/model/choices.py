"""What the steps of a history choose from."""

from hypothesis import strategies as st

from jobd.domain.jobs import JobError, Result
from jobd.domain.outcomes import (
    Bystander,
    CancelledByRequest,
    Completed,
    Crashed,
    Failed,
    HandlerUnavailable,
    Interrupted,
    NotStarted,
    Outcome,
    Refused,
    Snoozed,
)
from tests.model.steps import PRINCIPALS, QUEUES

RESULT = Result("application/json", 3, "0" * 64, body=b"[1]")

OUTCOMES: tuple[Outcome, ...] = (
    Completed(RESULT),
    Completed(),
    Failed(JobError("handler_error", "no", retryable=True)),
    Failed(JobError("handler_error", "no", retryable=True), retry_in_s=0),
    Failed(JobError("discarded", "no", retryable=False)),
    Failed(JobError("slow", "no", retryable=True), retry_in_s=9000),
    Crashed("it died"),
    Crashed("it died"),
    Snoozed(30),
    Interrupted(),
    NotStarted(),
    HandlerUnavailable("no module"),
    Bystander(),
    CancelledByRequest(),
    Refused(JobError("input_missing", "no", retryable=False)),
)

ANY = st.integers(0, 999)
"""Which of those there are."""

NEW_JOBS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["t.cpu", "t.cpu", "t.cpu", "t.io", "t.moves"]),
        "queue": st.sampled_from([*QUEUES, "default"]),
        "principal": st.sampled_from(PRINCIPALS),
        "priority": st.sampled_from([0, 5, 9]),
        "max_attempts": st.sampled_from([1, 2, 20]),
        "wait_s": st.sampled_from([None, None, None, 5, 400]),
        "start_within_s": st.sampled_from([None, None, 2, 900]),
        "key": st.sampled_from([None, None, "a", "b"]),
        "fingerprint": st.sampled_from([b"1", b"1", b"2"]),
    }
)
