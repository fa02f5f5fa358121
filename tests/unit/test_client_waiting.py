"""Waiting and listing: what is asked for, and when again."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobd.client import Client, SubmitRequest, WaitTimedOut

JobJson = Callable[..., bytes]


def test_wait_is_one_long_poll_for_a_job_that_ends(recorded: Any, job_json: JobJson) -> None:
    recorded.reply(job_json(status="completed", done=True))

    with Client(recorded.socket) as client:
        assert client.wait("job_x").value.done

    (request,) = recorded.requests
    assert (request.path, request.headers["Prefer"]) == ("/v1/jobs/job_x", "wait=30; until=done")


def test_wait_gives_up_when_its_time_is_over(recorded: Any, job_json: JobJson) -> None:
    recorded.reply(job_json(status="processing"))

    with Client(recorded.socket) as client, pytest.raises(WaitTimedOut) as caught:
        client.wait("job_x", timeout_s=0)

    assert caught.value.job.status == "processing"
    assert "Prefer" not in recorded.requests[0].headers


def test_wait_asks_ever_more_seldom_while_it_is_answered_at_once(
    recorded: Any, job_json: JobJson
) -> None:
    """As by a daemon that drains; each answer says how long it is worth to wait."""
    pauses: list[float] = []
    recorded.reply(job_json(), ETag='W/"1"')
    for retry_after in ("9", "9", "3"):
        recorded.reply(status=304, Retry_After=retry_after)
    recorded.reply(job_json(status="completed", done=True))

    with Client(recorded.socket, pause=pauses.append) as client:
        client.wait("job_x")

    firsts = [1, 2, 3]
    assert all(first <= pause <= 1.25 * first for first, pause in zip(firsts, pauses, strict=True))


def test_changes_do_not_make_a_wait_for_the_end_busy(recorded: Any, job_json: JobJson) -> None:
    pauses: list[float] = []
    for version in "123":
        recorded.reply(job_json(progress_pct=float(version)), ETag=f'W/"{version}"')
    recorded.reply(job_json(status="completed", done=True))

    with Client(recorded.socket, pause=pauses.append) as client:
        client.wait("job_x")

    assert len(pauses) == 2


def test_a_daemon_that_starts_again_is_asked_ever_more_seldom(
    recorded: Any, job_json: JobJson
) -> None:
    pauses: list[float] = []
    for _ in range(7):
        recorded.hang_up()
    recorded.reply(job_json())

    with Client(recorded.socket, pause=pauses.append) as client:
        client.get("job_x")

    firsts = [0.05, 0.1, 0.2, 0.4, 0.8, 1, 1]
    assert all(first <= pause <= 1.25 * first for first, pause in zip(firsts, pauses, strict=True))


def test_one_who_asks_too_often_waits_as_told(recorded: Any, job_json: JobJson) -> None:
    pauses: list[float] = []
    recorded.refuse(429, "rate_limited", headers={"Retry-After": "2"})
    recorded.reply(job_json())

    with Client(recorded.socket, pause=pauses.append) as client:
        client.get("job_x")

    assert 2 <= pauses[0] <= 2.5


def page(jobs: list[bytes], token: str | None) -> bytes:
    documents = [msgspec.Raw(job) for job in jobs]
    return msgspec.json.encode({"jobs": documents, "next_page_token": token})


def test_jobs_go_on_from_page_to_page(recorded: Any, job_json: JobJson) -> None:
    recorded.reply(page([job_json(job_id="job_3"), job_json(job_id="job_2")], "t/2"))
    recorded.reply(page([], "t3"))  # an empty page is not the end
    recorded.reply(page([job_json(job_id="job_1")], None))

    with Client(recorded.socket) as client:
        found = [job.job_id for job in client.jobs(kind="a.b", page_size=2)]

    assert found == ["job_3", "job_2", "job_1"]
    assert [request.path.partition("?")[2] for request in recorded.requests] == [
        "kind=a.b&page_size=2",
        "kind=a.b&page_size=2&page_token=t%2F2",
        "kind=a.b&page_size=2&page_token=t3",
    ]


def test_a_list_takes_every_filter(recorded: Any) -> None:
    recorded.reply(page([], None))
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    with Client(recorded.socket) as client:
        client.list(batch_id="bat_1", idempotency_key="a b", created_after=moment, queue=None)

    assert recorded.requests[0].path == (
        "/v1/jobs?batch_id=bat_1&idempotency_key=a+b&created_after=2026-01-02T03%3A04%3A05Z"
    )


def test_a_time_without_a_zone_is_refused(recorded: Any) -> None:
    with Client(recorded.socket) as client, pytest.raises(ValueError, match="created_before"):
        client.list(created_before=datetime(2026, 1, 2))  # noqa: DTZ001 - that is the point


def test_a_trace_goes_on_in_the_job(recorded: Any, job_json: JobJson) -> None:
    recorded.reply(job_json(), 202)
    trace = f"00-{'a' * 32}-{'b' * 16}-01"

    with Client(recorded.socket) as client:
        client.submit(SubmitRequest(kind="a.b"), traceparent=trace)

    assert recorded.requests[0].headers["traceparent"] == trace


def test_the_attempts_of_a_job(recorded: Any) -> None:
    recorded.reply(b'{"attempts":[{"attempt":1,"started_at":"2026-01-02T03:04:05Z"}]}')

    with Client(recorded.socket) as client:
        (attempt,) = client.attempts("job_x").value.attempts

    assert (attempt.attempt, recorded.requests[0].path) == (1, "/v1/jobs/job_x/attempts")


def test_without_a_path_the_environment_says_it(
    recorded: Any, job_json: JobJson, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JOBD_SOCKET", recorded.socket)
    recorded.reply(job_json())

    with Client() as client:
        assert client.get("job_x").value.status == "queued"
