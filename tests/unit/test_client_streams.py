"""Streams: how they are read, and that they go on where they broke off."""

from collections.abc import Callable
from typing import Any

import pytest

from jobd.client import ApiError, BadAnswer, Client
from jobd.client.streams import Frame, frames

MakeFrame = Callable[..., bytes]
JobJson = Callable[..., bytes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"id: 1\nevent: e\ndata: {}\n\n", [Frame("1", "{}")]),
        (b"retry: 2000\nid:1\ndata:{}\n\n", [Frame("1", "{}")]),
        (b"id: 1\ndata: a\ndata: b\n\n", [Frame("1", "a\nb")]),
        (b"id: 1\r\ndata: a\r\n\r\n", [Frame("1", "a")]),
        (b": keep-alive\nid: 1\ndata: a\n: keep-alive\n\n", [Frame("1", "a")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [Frame("1", "a"), Frame("1", "b")]),
        (b"id: 1\n\n\n", []),
        (b"id: 1\ndata: a\n", []),
        (b"id: 1\ndata: a\n\nid: 2\ndata: b", [Frame("1", "a")]),
    ],
)
def test_frames_are_read_as_the_standard_says(text: bytes, expected: list[Frame]) -> None:
    assert list(frames(text.splitlines(keepends=True))) == expected


def test_a_job_is_followed_to_its_end(recorded: Any, frame: MakeFrame) -> None:
    recorded.stream(b"retry: 2000\n" + frame(4, "queued") + frame(7, "completed"))

    with Client(recorded.socket) as client, client.events("job_x") as events:
        seen = [(event.id, event.type, event.job.status) for event in events]

    assert seen == [(4, "job.queued", "queued"), (7, "job.completed", "completed")]
    (request,) = recorded.requests
    assert (request.path, request.headers["Accept"]) == (
        "/v1/jobs/job_x/events",
        "text/event-stream",
    )
    assert "Last-Event-ID" not in request.headers


def test_a_stream_goes_on_where_it_broke_off(recorded: Any, frame: MakeFrame) -> None:
    recorded.stream(frame(4, "queued") + frame(5, "processing")[:-9])
    recorded.hang_up()
    recorded.stream(frame(4, "queued") + frame(6, "completed"))

    with Client(recorded.socket) as client, client.events("job_x") as events:
        seen = [event.id for event in events]

    assert seen == [4, 6]
    assert [r.headers.get("Last-Event-ID") for r in recorded.requests] == [None, "4", "4"]


def test_a_stream_that_brings_nothing_is_not_opened_in_a_busy_loop(
    recorded: Any, frame: MakeFrame
) -> None:
    pauses: list[float] = []
    recorded.stream(b": keep-alive\n")
    recorded.stream(frame(6, "failed"))

    with Client(recorded.socket, pause=pauses.append) as client, client.events("job_x") as events:
        seen = [event.id for event in events]

    (pause,) = pauses
    assert seen == [6]
    assert 1 <= pause <= 1.25


def test_nothing_more_is_the_end(recorded: Any) -> None:
    recorded.reply(status=204)

    with Client(recorded.socket) as client, client.events("job_x", after=9) as events:
        assert list(events) == []

    assert recorded.requests[0].headers["Last-Event-ID"] == "9"


def test_the_events_of_all_jobs_outlive_each_of_them(recorded: Any, frame: MakeFrame) -> None:
    recorded.stream(frame(4, "completed"))
    recorded.stream(frame(5, "completed"))
    recorded.refuse(429, "too_many_streams")

    with Client(recorded.socket) as client, client.events() as events:
        seen = iter(events)
        assert [next(seen).id, next(seen).id] == [4, 5]
        with pytest.raises(ApiError):
            next(seen)

    assert recorded.requests[2].headers["Last-Event-ID"] == "5"


def test_the_events_of_everybodys_jobs_are_asked_for(recorded: Any) -> None:
    recorded.stream(b"")

    with Client(recorded.socket) as client, client.events(all=True):
        pass

    assert recorded.requests[0].path == "/v1/events?all=true"


@pytest.mark.parametrize(("body", "expected"), [(b"id: 1\ndata: x\n\n", True), (b"", False)])
def test_news_is_one_event(recorded: Any, body: bytes, expected: bool) -> None:
    recorded.stream(body)

    with Client(recorded.socket) as client, client.events() as events:
        assert events.news() == expected


@pytest.mark.parametrize(
    "body", [b"id: x\ndata: {}\n\n", b"id: 1\ndata: {}\n\n", b"id: 1\ndata: \xff\n\n"]
)
def test_an_event_that_is_not_of_jobd_is_named_as_that(recorded: Any, body: bytes) -> None:
    recorded.stream(body)

    with Client(recorded.socket) as client, client.events() as events, pytest.raises(BadAnswer):
        next(iter(events))


def test_an_answer_that_is_no_stream_is_named_as_that(recorded: Any) -> None:
    recorded.reply(b"{}", Content_Type="application/json")

    with Client(recorded.socket) as client, pytest.raises(BadAnswer):
        client.events("job_x")


def log_line(second: int, text: str, attempt: int = 1) -> bytes:
    at = f"2026-01-02T03:04:{second:02}Z"
    line = f'{{"attempt":{attempt},"timestamp":"{at}","stream":"stdout","line":"{text}"}}\n'
    return line.encode()


NDJSON = "application/x-ndjson"


def test_a_log_is_its_lines(recorded: Any) -> None:
    recorded.reply(log_line(1, "a") + log_line(1, "b"), Content_Type=NDJSON)

    with Client(recorded.socket) as client:
        lines = list(client.logs("job_x", attempt=2, tail=5))

    assert [line.line for line in lines] == ["a", "b"]
    (request,) = recorded.requests
    assert request.path == "/v1/jobs/job_x/logs?attempt=2&tail=5"
    assert request.headers["Accept"] == NDJSON


def test_a_log_that_breaks_off_is_read_on(recorded: Any, job_json: JobJson) -> None:
    """Lines of one moment are told apart by their count, not by their text."""
    pieces = [log_line(1, "a"), log_line(2, "b"), log_line(2, "b"), log_line(3, "c")]
    recorded.stream(b"".join(pieces[:2]) + pieces[2][:-9], NDJSON)
    recorded.stream(b"".join(pieces[:3]), NDJSON)
    recorded.reply(job_json(status="completed", done=True))
    recorded.reply(b"".join(pieces) + log_line(0, "d", attempt=2))

    with Client(recorded.socket) as client:
        lines = [line.line for line in client.logs("job_x", tail=9, follow=True)]

    assert lines == ["a", "b", "b", "c", "d"]
    asked = [r.path for r in recorded.requests if "logs" in r.path]
    assert asked == [
        "/v1/jobs/job_x/logs?tail=9&follow=1",
        "/v1/jobs/job_x/logs?follow=1",
        "/v1/jobs/job_x/logs?",
    ]
