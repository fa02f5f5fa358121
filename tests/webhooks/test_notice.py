"""The body of a webhook: thin, and the job as it stood right after the event."""

from typing import Any

import msgspec
import pytest

from jobd.domain.deliveries import Message, RotatedSecret
from jobd.domain.jobs import Job
from jobd.domain.statuses import Status
from jobd.wire.endpoints import render_rotated
from jobd.wire.webhooks import Webhook, encode_notice

JOB_ID = "job_019b76daa400700080000000000000aa"
START_MS = 1_767_225_600_000
ERROR = {
    "code": "render_timeout",
    "message": "secret.pdf took too long",
    "retryable": True,
    "failed_step": "render",
    "attempt": 2,
    "details": {"path": "/home/a"},
}


def job(**changes: Any) -> Job:
    fields: dict[str, Any] = dict.fromkeys(Job.__struct_fields__)
    fields |= {
        "seq": 1,
        "job_id": JOB_ID,
        "principal": "uid:1000",
        "kind": "report.generate",
        "queue": "slow",
        "lane": "cpu",
        "priority": 5,
        "status": Status.COMPLETED,
        "metadata": {"order": "7"},
        "created_at_ms": START_MS,
        "updated_at_ms": START_MS + 99_000,
        "attempt": 3,
        "cancel_requested": False,
        "partial": True,
        "event_id": 12,
        "has_result": True,
    }
    return Job(**fields | changes)


def notice(type_: str, data: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    message = Message("msg_1", 1, 12, type_, START_MS + 1500, attempt=2, data=data or {})
    body = encode_notice(message, job(), **options)
    msgspec.json.decode(body, type=Webhook)
    decoded: dict[str, Any] = msgspec.json.decode(body)
    return decoded


def test_a_notice_has_every_field() -> None:
    assert notice("job.completed", {"has_result": True, "partial": True}) == {
        "type": "job.completed",
        "timestamp": "2026-01-01T00:00:01.500000Z",
        "data": {
            "job_id": JOB_ID,
            "kind": "report.generate",
            "queue": "slow",
            "status": "completed",
            "done": True,
            "partial": True,
            "attempt": 2,
            "batch_id": None,
            "metadata": {"order": "7"},
            "error": None,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:01.500000Z",
            "completed_at": "2026-01-01T00:00:01.500000Z",
            "poll_url": f"/v1/jobs/{JOB_ID}",
            "result_url": f"/v1/jobs/{JOB_ID}/result",
        },
    }


@pytest.mark.parametrize(
    ("type_", "status", "done"),
    [
        ("job.scheduled", "scheduled", False),
        ("job.queued", "queued", False),
        ("job.processing", "processing", False),
        ("job.progress", "processing", False),
        ("job.cancel_requested", "processing", False),
        ("job.retrying", "retrying", False),
        ("job.failed", "failed", True),
        ("job.cancelled", "cancelled", True),
    ],
)
def test_it_shows_what_the_event_left_though_the_job_went_on(
    type_: str, status: str, *, done: bool
) -> None:
    data = notice(type_)["data"]

    assert (data["status"], data["done"], data["completed_at"] is not None) == (status, done, done)
    assert (data["partial"], data["result_url"], data["attempt"]) == (False, None, 2)


def test_an_error_goes_out_without_what_it_says_of_the_job() -> None:
    sent = notice("job.failed", {"error": ERROR})

    assert sent["data"]["error"] == {
        "code": "render_timeout",
        "retryable": True,
        "failed_step": "render",
    }
    assert "secret" not in str(sent)
    assert "/home" not in str(sent)


def test_urls_are_absolute_when_the_public_one_is_known() -> None:
    data = notice("job.completed", {"has_result": True}, public_url="https://jobs.example")["data"]

    assert data["poll_url"] == f"https://jobs.example/v1/jobs/{JOB_ID}"
    assert data["result_url"] == f"https://jobs.example/v1/jobs/{JOB_ID}/result"


def test_a_rotated_secret_is_shown_with_the_end_of_the_other() -> None:
    shown = render_rotated("default", RotatedSecret("whsec_new", START_MS))

    assert msgspec.to_builtins(shown) == {
        "endpoint_id": "default",
        "secret": "whsec_new",
        "previous_secret_expires_at": "2026-01-01T00:00:00Z",
    }
