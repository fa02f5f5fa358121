"""The client against a recorded protocol: what it sends, what it repeats, what it raises."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobd.client import ApiError, BadAnswer, Client, Unreachable, WaitTimedOut
from jobd.wire.submission import SubmitRequest

JobJson = Callable[..., bytes]
REQUEST = SubmitRequest(kind="a.b", args={"n": 1})


def test_a_submission_carries_its_own_idempotency_key(recorded: Any, job_json: JobJson) -> None:
    recorded.reply(job_json(), 202, ETag='W/"1"', Retry_After="1")

    with Client(recorded.socket) as client:
        answer = client.submit(REQUEST)

    (request,) = recorded.requests
    assert (request.method, request.path) == ("POST", "/v1/jobs")
    assert msgspec.json.decode(request.body) == {"kind": "a.b", "args": {"n": 1}}
    assert request.headers["Prefer"] == "respond-async"
    assert len(request.headers["Idempotency-Key"]) == 34
    assert (answer.value.status, answer.etag, answer.retry_after_s) == ("queued", 'W/"1"', 1)


def test_a_submission_is_repeated_with_its_key_when_the_answer_is_lost(
    recorded: Any, job_json: JobJson
) -> None:
    recorded.hang_up()
    recorded.reply(job_json(), 202, Idempotent_Replayed="true")

    with Client(recorded.socket) as client:
        answer = client.submit(REQUEST)

    first, second = recorded.requests
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert answer.replayed


def test_a_submission_whose_outcome_stays_unknown_names_its_key(recorded: Any) -> None:
    with Client(recorded.socket, patience_s=0) as client, pytest.raises(Unreachable) as caught:
        client.submit(REQUEST, idempotency_key="mine")

    assert caught.value.lost
    assert caught.value.idempotency_key == "mine"


def test_a_busy_daemon_is_asked_again_when_it_said_so(recorded: Any, job_json: JobJson) -> None:
    pauses: list[float] = []
    recorded.refuse(503, "queue_full", retryable=True, headers={"Retry-After": "3"})
    recorded.reply(job_json(), 202)

    with Client(recorded.socket, pause=pauses.append) as client:
        client.submit(REQUEST)

    (pause,) = pauses
    assert 3 <= pause <= 3.75  # never sooner than it said, and not all at once


@pytest.mark.parametrize(
    ("status", "retryable", "retry_after"),
    [(503, False, "1"), (503, True, "600"), (429, True, "1")],
    ids=["not-retryable", "beyond-patience", "not-503"],
)
def test_a_refusal_that_waiting_does_not_help_is_raised_at_once(
    recorded: Any, status: int, retryable: bool, retry_after: str
) -> None:
    recorded.refuse(status, "no", retryable=retryable, headers={"Retry-After": retry_after})

    with Client(recorded.socket) as client, pytest.raises(ApiError) as caught:
        client.submit(REQUEST)

    assert caught.value.problem.code == "no"
    assert caught.value.idempotency_key is None
    assert len(recorded.requests) == 1


def test_nobody_there_is_known_at_once() -> None:
    with Client("/nonexistent/s") as client, pytest.raises(Unreachable) as caught:
        client.get("job_x")

    assert not caught.value.lost
    assert str(caught.value) == (
        "cannot reach the daemon at /nonexistent/s: No such file or directory"
    )


def test_a_full_backlog_is_a_daemon_that_is_there(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)

        with Client(path, patience_s=0) as client, pytest.raises(Unreachable) as caught:
            client.get("job_x")

    assert caught.value.lost


def test_watch_long_polls_from_the_version_it_has(recorded: Any, job_json: JobJson) -> None:
    recorded.reply(job_json(), ETag='W/"1"')
    recorded.reply(job_json(status="processing", progress_pct=40.0), ETag='W/"2"')
    recorded.reply(status=304, ETag='W/"2"')
    recorded.reply(job_json(status="completed", done=True), ETag='W/"3"')
    pauses: list[float] = []

    with Client(recorded.socket, pause=pauses.append) as client:
        seen = [job.value.status for job in client.watch(client.get("job_x"))]

    assert seen == ["queued", "processing", "processing", "completed"]
    polls = [(r.headers["Prefer"], r.headers["If-None-Match"]) for r in recorded.requests[1:]]
    assert polls == [("wait=30", f'W/"{version}"') for version in (1, 2, 2)]
    (pause,) = pauses
    assert 1 <= pause <= 1.25  # the 304 came at once: not a busy loop


def test_watch_gives_up_when_its_time_is_over(recorded: Any, job_json: JobJson) -> None:
    recorded.reply(job_json())

    with Client(recorded.socket) as client, pytest.raises(WaitTimedOut) as caught:
        list(client.watch(client.get("job_x"), timeout_s=0))

    assert caught.value.job.status == "queued"


def test_fields_and_words_that_are_not_known_are_ignored(recorded: Any, job_json: JobJson) -> None:
    document = msgspec.json.decode(job_json(status="hibernating")) | {"colour": "blue"}
    recorded.reply(msgspec.json.encode(document))

    with Client(recorded.socket) as client:
        assert client.get("job_x").value.status == "hibernating"


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"{}"), (200, b"<html>"), (200, b'"\xff"'), (502, b"Bad gateway")]
)
def test_an_answer_that_is_not_of_jobd_is_named_as_that(
    recorded: Any, status: int, body: bytes
) -> None:
    recorded.reply(body, status)

    with Client(recorded.socket) as client, pytest.raises(BadAnswer):
        client.get("job_x")


def test_a_name_cannot_leave_its_place_in_the_path(recorded: Any, job_json: JobJson) -> None:
    recorded.reply(job_json())

    with Client(recorded.socket) as client:
        client.get("../handlers?x")

    assert recorded.requests[0].path == "/v1/jobs/..%2Fhandlers%3Fx"


def test_a_list_asks_for_what_is_named(recorded: Any) -> None:
    recorded.reply(b'{"jobs":[],"next_page_token":null}')

    with Client(recorded.socket) as client:
        client.list(statuses=("failed", "queued"), kind="a.b", page_size=7)

    expected = "/v1/jobs?status=failed&status=queued&kind=a.b&page_size=7"
    assert recorded.requests[0].path == expected
