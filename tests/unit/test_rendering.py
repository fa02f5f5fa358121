"""The job document: golden bytes, and what each status shows."""

import json
from typing import Any

import msgspec
import pytest

from jobd.api.codec import encode
from jobd.domain.estimates import Estimate
from jobd.domain.events import Event
from jobd.domain.jobs import Inputs, Job, JobError, Progress, Result, Summary
from jobd.domain.statuses import Status
from jobd.wire.events import JobEvent
from jobd.wire.jobs import JobDetail
from jobd.wire.rendering import (
    render_detail,
    render_event,
    render_job,
    render_past_event,
    retry_after_s,
)
from jobd.wire.times import from_ms

NOW_MS = 1_767_225_600_000
JOB = Job(
    seq=7,
    job_id="job_019b76daa400700080000000000000aa",
    principal="uid:1000",
    kind="import.csv",
    queue="default",
    lane="cpu",
    priority=5,
    status=Status.QUEUED,
    metadata={"team": "data"},
    created_at_ms=NOW_MS - 5000,
    updated_at_ms=NOW_MS - 5000,
    run_at_ms=None,
    started_at_ms=None,
    finished_at_ms=None,
    expires_at_ms=None,
    start_before_ms=None,
    attempt=0,
    failures=0,
    crashes=0,
    interrupted=0,
    released=0,
    snoozes=0,
    max_attempts=3,
    timeout_ms=1500,
    retention_ms=60_000,
    cancel_requested=False,
    partial=False,
    retry_of=None,
    retried_as=None,
    event_id=41,
    inputs=Inputs(b'{"source":"/a.csv"}', {"team": "data"}, None),
)


def job(**changes: Any) -> Job:
    return msgspec.structs.replace(JOB, **changes)


def detail(**changes: Any) -> JobDetail:
    return render_detail(job(**changes), NOW_MS, inline_result_bytes=10)


def test_golden_bytes_of_a_completed_job() -> None:
    completed = job(
        status=Status.COMPLETED,
        partial=True,
        attempt=1,
        updated_at_ms=NOW_MS - 1,
        started_at_ms=NOW_MS - 4000,
        finished_at_ms=NOW_MS - 1,
        expires_at_ms=NOW_MS + 60_000,
        has_result=True,
        summary=Summary(100, 97, 3),
        result=Result("application/json", 7, "ab" * 32, body=b'{"a":1}'),
    )

    body = encode(render_detail(completed, NOW_MS, inline_result_bytes=10))

    assert body == (
        b'{"job_id":"job_019b76daa400700080000000000000aa","kind":"import.csv",'
        b'"queue":"default","status":"completed","done":true,"partial":true,'
        b'"poll_url":"/v1/jobs/job_019b76daa400700080000000000000aa",'
        b'"events_url":"/v1/jobs/job_019b76daa400700080000000000000aa/events",'
        b'"cancel_url":"/v1/jobs/job_019b76daa400700080000000000000aa/cancel",'
        b'"result_url":"/v1/jobs/job_019b76daa400700080000000000000aa/result",'
        b'"priority":5,"metadata":{"team":"data"},"batch_id":null,'
        b'"created_at":"2025-12-31T23:59:55Z","updated_at":"2025-12-31T23:59:59.999000Z",'
        b'"run_at":null,"started_at":"2025-12-31T23:59:56Z",'
        b'"completed_at":"2025-12-31T23:59:59.999000Z","expires_at":"2026-01-01T00:01:00Z",'
        b'"attempt":1,"max_attempts":3,"next_attempt_at":null,"cancel_requested":false,'
        b'"queue_position":null,"progress_pct":100.0,"step":null,"step_index":null,'
        b'"step_count":null,"message":null,"estimated_duration_seconds":null,'
        b'"estimated_completion_time":null,"suggested_next_poll_time":null,"error":null,'
        b'"result_summary":{"total":100,"succeeded":97,"failed":3},'
        b'"args":{"source":"/a.csv"},"result":{"a":1},'
        b'"result_info":{"media_type":"application/json","size_bytes":7,"sha256":"'
        + b"ab"
        * 32
        + b'","filename":null},"principal":"uid:1000","timeout_seconds":1.5,'
        b'"retention_seconds":60,"start_before":null,"callback_url":null,"trace_id":null,'
        b'"request_id":null,"progress_done":null,"progress_total":null,"charged_attempts":0,'
        b'"logs_url":"/v1/jobs/job_019b76daa400700080000000000000aa/logs",'
        b'"artifacts_url":"/v1/jobs/job_019b76daa400700080000000000000aa/artifacts",'
        b'"retry_url":null,"retry_of":null,"retried_as":null,"batch_index":null,'
        b'"waiting_for":null}'
    )
    assert encode(msgspec.json.decode(body, type=JobDetail)) == body


def test_a_list_entry_is_the_beginning_of_the_whole_document() -> None:
    entry, whole = json.loads(encode(render_job(JOB, NOW_MS))), json.loads(encode(detail()))

    assert entry.items() <= whole.items()
    assert list(entry) == list(whole)[: len(entry)]


@pytest.mark.parametrize("body", [None, b'"longer than ten bytes"'])
def test_a_result_that_does_not_fit_is_not_inline(body: bytes | None) -> None:
    result = Result("application/json", 23, "ab" * 32, body=body)

    assert bytes(detail(status=Status.COMPLETED, result=result).result) == b"null"


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.COMPLETED])
def test_only_a_completed_job_has_a_result_url(status: Status) -> None:
    assert render_job(job(status=status, has_result=True), NOW_MS).result_url is None
    assert render_job(job(status=Status.COMPLETED), NOW_MS).result_url is None


@pytest.mark.parametrize(
    ("status", "pct", "shown"),
    [
        (Status.PROCESSING, 42.5, 42.5),
        (Status.PROCESSING, None, 0.0),
        (Status.PROCESSING, 100.0, 99.9),
        (Status.COMPLETED, None, 100.0),
        (Status.FAILED, None, 0.0),
    ],
)
def test_a_hundred_percent_means_completed(status: Status, pct: float | None, shown: float) -> None:
    assert shown == render_job(job(status=status, progress=Progress(pct=pct)), NOW_MS).progress_pct


@pytest.mark.parametrize("status", list(Status))
def test_a_job_that_did_not_complete_can_be_retried_once(status: Status) -> None:
    again = f"/v1/jobs/{JOB.job_id}/retry" if status in {"failed", "cancelled"} else None

    assert detail(status=status).retry_url == again
    assert detail(status=status, retried_as="job_x").retry_url is None


def test_an_event_has_the_job_at_its_own_time() -> None:
    event = Event(2**53 + 1, JOB.seq, JOB.job_id, "job.queued", NOW_MS, 0)

    told, past = render_event(event, JOB), render_past_event(event, JOB)

    assert told == JobEvent("job.queued", from_ms(NOW_MS), render_job(JOB, NOW_MS))
    assert (past.id, past.type, past.timestamp, past.data) == (
        "9007199254740993",
        *(told.type, told.timestamp, told.data),
    )


def test_progress_is_shown() -> None:
    progress = Progress(10.0, 1, 10, "read", 1, 2, "row 1")

    shown = detail(status=Status.PROCESSING, progress=progress)

    assert (shown.step, shown.step_index, shown.step_count) == ("read", 1, 2)
    assert (shown.message, shown.progress_done, shown.progress_total) == ("row 1", 1, 10)


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [(-9, 1), (0, 1), (1.9, 1), (2, 2), (3.9, 2), (4, 4), (20, 16), (32, 30), (10**6, 30)],
)
def test_the_poll_interval_grows_with_the_age(age_s: float, expected: int) -> None:
    since_ms = NOW_MS - int(age_s * 1000)
    running = job(status=Status.PROCESSING, started_at_ms=since_ms)

    assert retry_after_s(job(updated_at_ms=since_ms), NOW_MS) == expected
    assert retry_after_s(running, NOW_MS) == expected


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.RETRYING])
@pytest.mark.parametrize(("in_ms", "expected"), [(-5, 1), (1, 1), (1001, 2), (3_600_000, 60)])
def test_a_due_job_is_asked_for_when_it_is_due(status: Status, in_ms: int, expected: int) -> None:
    due = job(status=status, run_at_ms=NOW_MS + in_ms)

    assert retry_after_s(due, NOW_MS) == expected


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_a_finished_job_is_not_asked_for_again(status: Status) -> None:
    assert retry_after_s(job(status=status), NOW_MS) is None


def test_a_retrying_job_shows_the_last_error_and_the_next_attempt() -> None:
    error = JobError("handler_error", "boom", retryable=True, attempt=1)

    shown = render_job(
        job(status=Status.RETRYING, failures=1, run_at_ms=NOW_MS + 1000, error=error), NOW_MS
    )

    assert shown.error is not None
    assert (shown.error.code, shown.error.attempt) == ("handler_error", 1)
    assert shown.next_attempt_at == shown.suggested_next_poll_time
    assert shown.run_at is None


def test_an_estimate_is_shown() -> None:
    expected = Estimate(duration_s=4.0, starts_in_s=2.5, ends_in_s=6.5)

    shown = render_detail(JOB, NOW_MS, inline_result_bytes=10, estimate=expected, queue_position=3)

    assert (shown.estimated_duration_seconds, shown.queue_position) == (4.0, 3)
    assert shown.estimated_completion_time == from_ms(NOW_MS + 6500)


@pytest.mark.parametrize(
    ("known_s", "queued", "processing"),
    [(0.0, 1, 1), (4.1, 2, 1), (10.1, 3, 3), (100.0, 25, 20), (1e9, 30, 30)],
)
def test_a_part_of_the_estimated_time_is_waited(
    known_s: float, queued: int, processing: int
) -> None:
    known = Estimate(starts_in_s=known_s, ends_in_s=known_s)

    assert retry_after_s(JOB, NOW_MS, known) == queued
    assert retry_after_s(job(status=Status.PROCESSING), NOW_MS, known) == processing


def test_the_trace_id_is_the_one_of_the_submission() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    shown = detail(inputs=Inputs(b"{}", {}, parent))

    assert shown.trace_id == "0af7651916cd43dd8448eb211c80319c"


def test_a_whole_document_needs_the_inputs() -> None:
    with pytest.raises(ValueError, match="not read in detail"):
        detail(inputs=None)
