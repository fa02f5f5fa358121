"""What webhooks say beside the thin notice: the whole job, tests, the daemon itself."""

from typing import Any

import msgspec
import pytest

from jobd.domain.deliveries import Message
from jobd.domain.jobs import Job
from jobd.domain.statuses import Status
from jobd.wire.events import JobEvent
from jobd.wire.webhooks import DaemonWebhook, encode_daemon, encode_job, encode_test

START_MS = 1_767_225_600_000
ERROR = {
    "code": "render_timeout",
    "message": "Page 3 took too long.",
    "retryable": True,
    "failed_step": "render",
    "attempt": 2,
    "details": {},
}


@pytest.fixture
def job() -> Job:
    """One that has completed at its third attempt, event 12."""
    fields: dict[str, Any] = dict.fromkeys(Job.__struct_fields__)
    fields |= dict.fromkeys(("failures", "crashes", "interrupted", "released", "snoozes"), 0)
    fields |= {
        "seq": 1,
        "job_id": "job_019b76daa400700080000000000000aa",
        "principal": "uid:1000",
        "kind": "report.generate",
        "queue": "slow",
        "lane": "cpu",
        "priority": 5,
        "status": Status.COMPLETED,
        "metadata": {"order": "7"},
        "created_at_ms": START_MS,
        "updated_at_ms": START_MS + 9000,
        "finished_at_ms": START_MS + 9000,
        "attempt": 3,
        "max_attempts": 3,
        "cancel_requested": False,
        "partial": False,
        "event_id": 12,
        "has_result": True,
    }
    return Job(**fields)


def said(message: Message, job: Job) -> JobEvent:
    body = encode_job(message, job, public_url="https://jobs.example")
    return msgspec.json.decode(body, type=JobEvent)


def test_the_newest_event_has_the_job_as_it_is(job: Job) -> None:
    told = said(Message("msg_1", 1, 12, "job.completed", START_MS + 9000, 3), job)

    assert told.type == "job.completed"
    assert (told.data.status, told.data.done, told.data.progress_pct) == ("completed", True, 100)
    assert told.data.result_url == f"https://jobs.example/v1/jobs/{job.job_id}/result"


def test_an_older_event_has_it_as_it_was(job: Job) -> None:
    data = {"error": ERROR, "run_at_ms": START_MS + 5000}
    told = said(Message("msg_1", 1, 8, "job.retrying", START_MS + 4000, 2, data), job)

    assert (told.data.status, told.data.done, told.data.attempt) == ("retrying", False, 2)
    assert told.data.error is not None
    assert told.data.error.code == "render_timeout"
    assert told.data.result_url is None
    assert told.data.updated_at == told.timestamp


@pytest.mark.parametrize(
    ("body", "type_", "data"),
    [
        (encode_test("whe_1", START_MS), "webhook.test", {"endpoint_id": "whe_1"}),
        (
            encode_daemon("storage.low", START_MS, {"free_bytes": 1}),
            "storage.low",
            {"free_bytes": 1},
        ),
    ],
)
def test_what_tells_of_no_job(body: bytes, type_: str, data: dict[str, Any]) -> None:
    told = msgspec.json.decode(body, type=DaemonWebhook)

    assert (told.type, told.data) == (type_, data)
    assert told.timestamp.isoformat() == "2026-01-01T00:00:00+00:00"
