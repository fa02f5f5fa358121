"""`jobd queues` against a recorded daemon: what is asked, printed, and the exit code."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from jobd.wire.queues import Queue, QueueList

Jobd = Callable[..., int]
Capture = pytest.CaptureFixture[str]

MAIL = Queue(
    name="mail",
    concurrency=2,
    paused=True,
    queued=14,
    processing=1,
    oldest_queued_seconds=65.0,
)
FREE = Queue(
    name="free",
    concurrency=None,
    paused=False,
    queued=0,
    processing=0,
    oldest_queued_seconds=None,
)
BOTH = msgspec.json.encode(QueueList([FREE, MAIL]))


def test_ls_prints_a_line_for_each_queue(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(BOTH)

    assert jobd("queues", "ls") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        ["QUEUE", "STATE", "LIMIT", "QUEUED", "PROCESSING", "OLDEST"],
        ["free", "open", "none", "0", "0"],
        ["mail", "paused", "2", "14", "1", "1m05s"],
    ]
    assert recorded.requests[0][:2] == ("GET", "/v1/queues")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("json", BOTH.decode() + "\n"),
        ("ndjson", f"{msgspec.json.encode(FREE).decode()}\n{msgspec.json.encode(MAIL).decode()}\n"),
        ("name", "free\nmail\n"),
    ],
)
def test_ls_prints_for_machines(
    recorded: Any, jobd: Jobd, capsys: Capture, output: str, expected: str
) -> None:
    recorded.reply(BOTH)

    assert jobd("queues", "ls", "-o", output) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_and_resume_print_the_queue(
    recorded: Any, jobd: Jobd, capsys: Capture, verb: str
) -> None:
    recorded.reply(msgspec.json.encode(MAIL))

    assert jobd("queues", verb, "mail") == 0
    assert "mail" in capsys.readouterr().out
    assert recorded.requests[0][:2] == ("POST", f"/v1/queues/mail/{verb}")


@pytest.mark.parametrize(("limit", "sent"), [("2", 2), ("none", None)])
def test_set_sends_the_limit_alone(
    recorded: Any, jobd: Jobd, capsys: Capture, limit: str, sent: int | None
) -> None:
    recorded.reply(msgspec.json.encode(MAIL))

    assert jobd("queues", "set", "mail", "--concurrency", limit, "-o", "name") == 0
    assert capsys.readouterr().out == "mail\n"
    request = recorded.requests[0]
    assert (request.method, request.path) == ("PATCH", "/v1/queues/mail")
    assert msgspec.json.decode(request.body) == {"concurrency": sent}


@pytest.mark.parametrize("arguments", [[], ["--concurrency", "0"], ["--concurrency", "many"]])
def test_a_limit_that_is_none_is_a_usage_error(
    recorded: Any, jobd: Jobd, arguments: list[str]
) -> None:
    assert jobd("queues", "set", "mail", *arguments) == 2
    assert recorded.requests == []


def test_a_name_is_sent_as_it_is_and_refused_by_the_daemon(recorded: Any, jobd: Jobd) -> None:
    recorded.refuse(404, "not_found")

    assert jobd("queues", "pause", "a/b c") == 4
    assert recorded.requests[0].path == "/v1/queues/a%2Fb%20c/pause"
