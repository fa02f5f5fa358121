"""The pure parts: ids, backoff, decide()."""

from typing import Any

import msgspec
import pytest

from jobd.domain.backoff import BackoffPolicy, delay_s
from jobd.domain.errors import pointer
from jobd.domain.events import CALLBACK_TYPES, callback_mask, in_mask
from jobd.domain.ids import JOB_ID, IdSource, new_token
from jobd.domain.jobs import JobError
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
    decide,
)
from jobd.domain.statuses import INITIAL, MOVES, TERMINAL, Status
from tests.support.claims import CLAIM

RETRYABLE = Failed(JobError("x", "y", retryable=True))
FINAL = Failed(JobError("x", "y", retryable=False))


def settled(outcome: Outcome, *, cancel: bool = False, **counters: Any) -> Any:
    claim = msgspec.structs.replace(CLAIM, **counters)
    backoff = BackoffPolicy(base_s=10, cap_s=100)
    return decide(claim, outcome, backoff=backoff, random=lambda: 0.5, cancel_requested=cancel)


@pytest.mark.parametrize(
    ("outcome", "status", "counters"),
    [
        (Completed(), Status.COMPLETED, {}),
        (RETRYABLE, Status.RETRYING, {"failures_delta": 1}),
        (FINAL, Status.FAILED, {"failures_delta": 1}),
        (Crashed("died"), Status.RETRYING, {"crashes_delta": 1}),
        (Snoozed(5), Status.RETRYING, {"snoozes_delta": 1}),
        (CancelledByRequest(), Status.CANCELLED, {}),
        (Interrupted(), Status.QUEUED, {"interrupted_delta": 1}),
        (NotStarted(), Status.QUEUED, {"attempt_delta": -1}),
        (Bystander(), Status.QUEUED, {"released_delta": 1}),
        (HandlerUnavailable("gone"), Status.QUEUED, {"attempt_delta": -1}),
        (Refused(RETRYABLE.error), Status.FAILED, {"attempt_delta": -1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_outcome_decides_the_status_and_who_is_charged(
    outcome: Outcome, status: Status, counters: dict[str, int]
) -> None:
    settlement = settled(outcome)

    deltas = {
        name: value
        for name, value in msgspec.structs.asdict(settlement).items()
        if name.endswith("_delta") and value
    }
    assert settlement.status is status
    assert deltas == counters


@pytest.mark.parametrize(
    ("outcome", "counters"),
    [
        (RETRYABLE, {"failures": 2}),
        (RETRYABLE, {"failures": 1, "crashes": 1}),
        (Crashed("died"), {"crashes": 2, "max_attempts": 100}),
        (Crashed("died"), {"failures": 2}),
        (Interrupted(), {"interrupted": 5}),
    ],
    ids=["failures", "failures and crashes", "three crashes", "crash at the end", "interrupted"],
)
def test_attempts_are_bounded(outcome: Outcome, counters: dict[str, Any]) -> None:
    settlement = settled(outcome, **counters)

    assert settlement.status is Status.FAILED
    assert settlement.error is not None


@pytest.mark.parametrize(
    "outcome", [RETRYABLE, Crashed("died"), Snoozed(5), Interrupted(), NotStarted(), Bystander()]
)
def test_a_cancel_wins_over_another_attempt(outcome: Outcome) -> None:
    assert settled(outcome, cancel=True).status is Status.CANCELLED


@pytest.mark.parametrize(("outcome", "status"), [(Completed(), "completed"), (FINAL, "failed")])
def test_a_result_or_a_final_failure_wins_over_a_cancel(outcome: Outcome, status: str) -> None:
    assert settled(outcome, cancel=True).status == status


def test_a_handler_may_name_its_own_wait() -> None:
    outcome = Failed(RETRYABLE.error, retry_in_s=7)

    assert settled(outcome).delay_ms == 7000


@pytest.mark.parametrize(
    ("failures", "expected_s"), [(1, 5.0), (2, 10.0), (3, 20.0), (9, 50.0), (10**6, 50.0)]
)
def test_backoff_doubles_up_to_its_cap_and_is_jittered(failures: int, expected_s: float) -> None:
    assert delay_s(BackoffPolicy(10, 100), failures, lambda: 0.5) == expected_s


def test_ids_grow_also_when_the_clock_goes_back() -> None:
    source = IdSource()

    ids = [source.next("job_", ms) for ms in (5, 5, 3, 9, 1, 10)]

    assert ids == sorted(set(ids))
    assert all(JOB_ID.fullmatch(id_) for id_ in ids)


def test_tokens_differ() -> None:
    assert len({new_token() for _ in range(1000)}) == 1000


def test_terminal_is_for_ever() -> None:
    assert all(not MOVES[status] for status in TERMINAL)
    assert set(MOVES) == set(Status)
    assert set.union(*map(set, MOVES.values())) | INITIAL == set(Status)


@pytest.mark.parametrize(
    ("path", "fragment"),
    [
        ([], "#"),
        (["args", 0, "b"], "#/args/0/b"),
        (["a/b~c"], "#/a~1b~0c"),
        (["", " ", "%", "é", "^"], "#//%20/%25/%C3%A9/%5E"),
        (["$file", "a?b=c&d", "x:y@z"], "#/$file/a?b=c&d/x:y@z"),
    ],
)
def test_a_pointer_is_a_uri_fragment(path: list[str | int], fragment: str) -> None:
    assert pointer(path) == fragment


def test_a_mask_is_the_set_of_types_it_was_made_of() -> None:
    for chosen in ((), CALLBACK_TYPES[:1], CALLBACK_TYPES[3:5], CALLBACK_TYPES):
        mask = callback_mask(chosen)

        assert tuple(type_ for type_ in CALLBACK_TYPES if in_mask(mask, type_)) == chosen
        assert not in_mask(mask, "job.progress")


def test_stored_masks_keep_their_meaning() -> None:
    assert callback_mask(("job.scheduled", "job.completed", "job.cancel_requested")) == 0b10010001


def test_an_unknown_type_is_in_no_mask() -> None:
    with pytest.raises(KeyError):
        callback_mask(("job.progress",))
