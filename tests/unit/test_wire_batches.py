"""The documents of batches, and what the callback of one is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jobd.domain.batches import MAX_ERRORS, Batch, LineError
from jobd.domain.statuses import Status
from jobd.wire.batches import encode_batch_notice, render_batch, render_detail, retry_after_s

BATCH_ID = "bat_" + "0" * 32


def batch(**changes: Any) -> Batch:
    values: dict[str, Any] = {
        "seq": 1,
        "batch_id": BATCH_ID,
        "principal": "me",
        "created_at_ms": 0,
        "finished_at_ms": None,
        "expires_at_ms": None,
        "loaded": True,
        "written": 3,
        "total": 3,
        "accepted": 3,
        "replayed": 0,
        "jobs": dict.fromkeys(Status, 0),
        "retry_of": None,
        "callback_url": None,
        "fingerprint": None,
    }
    return Batch(**values | changes)


def ended(**counts: int) -> dict[Status, int]:
    return dict.fromkeys(Status, 0) | {Status(word): count for word, count in counts.items()}


@pytest.mark.parametrize(
    ("changes", "partial"),
    [
        ({"jobs": ended(completed=3)}, False),
        ({"jobs": ended(completed=2, failed=1)}, True),
        ({"jobs": ended(completed=2, cancelled=1)}, True),
        ({"jobs": ended(completed=2), "accepted": 2}, True),
        ({"jobs": ended(completed=2), "replayed": 1}, False),
    ],
)
def test_partial_is_that_not_all_went_well(changes: dict[str, Any], partial: bool) -> None:
    document = render_batch(batch(finished_at_ms=1000, **changes))

    assert (document.done, document.status, document.partial) == (True, "completed", partial)


def test_of_what_is_being_written_only_what_is_there_is_told() -> None:
    document = render_batch(batch(loaded=False, total=0, accepted=0, written=500))

    assert (document.total, document.rejected, document.partial) == (500, 0, False)


@pytest.mark.parametrize(
    ("errors", "rejected", "truncated"),
    [(MAX_ERRORS, MAX_ERRORS, False), (MAX_ERRORS, MAX_ERRORS + 1, True), (1, 1, False)],
)
def test_errors_that_are_not_all(errors: int, rejected: int, truncated: bool) -> None:
    kept = [LineError(line, "unknown_kind", "") for line in range(errors)]

    document = render_detail(batch(total=rejected, accepted=0, errors=kept))

    assert document.errors_truncated is truncated


@pytest.mark.parametrize(("age_s", "poll_s"), [(0, 1), (7, 1), (40, 10), (4000, 30)])
def test_when_to_ask_again(age_s: int, poll_s: int) -> None:
    assert retry_after_s(batch(), age_s * 1000) == poll_s
    assert retry_after_s(batch(finished_at_ms=0), age_s * 1000) is None


def test_the_notice_has_the_counts_and_absolute_urls() -> None:
    done = batch(finished_at_ms=1000, jobs=ended(completed=3))

    notice = msgspec.json.decode(encode_batch_notice(done, public_url="https://jobs.example"))

    assert (notice["type"], notice["timestamp"]) == ("batch.completed", "1970-01-01T00:00:01Z")
    assert notice["data"]["jobs"]["completed"] == 3
    assert notice["data"]["poll_url"] == f"https://jobs.example/v1/batches/{BATCH_ID}"
    assert "job_ids" not in notice["data"]
