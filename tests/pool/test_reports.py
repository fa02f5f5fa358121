"""A worker's report is not believed blindly."""

from collections.abc import Callable

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, Completed, Failed, Interrupted, Outcome
from jobd.pool.protocol import Finished
from jobd.pool.reports import Reason, reported
from jobd.sdk.outcome import Ended, Left

MakeClaim = Callable[..., Claim]


@pytest.mark.parametrize(
    "ended",
    [
        Ended("failed"),
        Ended("snoozed"),
        Ended("completed", result_artifact="absent.csv"),
        Ended("completed", artifacts=(Left("../../jobd.db", "/x", "text/plain", 1, "00"),)),
        Ended("completed", artifacts=(Left("..", "/x", "text/plain", 1, "00"),)),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(claim: MakeClaim, ended: Ended) -> None:
    with pytest.raises(ValueError, match=r"lacks|none of|no name"):
        reported(claim("test.echo"), Finished("token", ended), None)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("timeout", Failed),
        ("cancel", CancelledByRequest),
        ("drain", Interrupted),
        ("lost", Interrupted),
        (None, Failed),
    ],
)
def test_what_a_handler_that_stopped_was_asked_for_says_what_it_means(
    claim: MakeClaim, reason: Reason | None, outcome: type[Outcome]
) -> None:
    got = reported(claim("test.echo"), Finished("token", Ended("cancelled")), reason)

    assert isinstance(got, outcome)


def test_a_result_that_comes_in_spite_of_a_cancel_stands(claim: MakeClaim) -> None:
    frame = Finished("token", Ended("completed", result_json=b"1"))

    assert isinstance(reported(claim("test.echo"), frame, "cancel"), Completed)
