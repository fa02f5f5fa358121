"""`jobd webhooks`: what is asked of a recorded daemon, and what is printed."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from jobd.client import ApiError, Client
from jobd.client.webhooks import EndpointPatch
from jobd.wire.deliveries import (
    Delivery,
    DeliveryAttempt,
    DeliveryDetail,
    DeliveryList,
    Redelivered,
)
from jobd.wire.endpoints import Endpoint, EndpointList, NewEndpoint, RotatedEndpoint

Jobd = Callable[..., int]
Capture = pytest.CaptureFixture[str]

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - nobody's
FIELDS: dict[str, Any] = {
    "endpoint_id": "whe_1",
    "principal": "uid:1000",
    "url": "https://app.example/hook",
    "events": None,
    "kinds": ["mail.*"],
    "queues": None,
    "payload": "notice",
    "rate_per_second": 2.5,
    "enabled": True,
    "paused": False,
    "description": "Billing",
    "secret_hint": "whsec_…LaSw",
    "disabled_reason": None,
    "failing_since": None,
    "created_at": MOMENT,
    "updated_at": MOMENT,
}
ATTEMPT = DeliveryAttempt(
    attempt=1,
    started_at=MOMENT,
    duration_ms=12,
    status_code=503,
    error="http_status",
    response_excerpt="no\n\x1b]0;title\x07 way",
    response_headers={"retry-after": "7"},
)
TOLD: dict[str, Any] = {
    "delivery_id": "dlv_1",
    "message_id": "msg_1",
    "principal": "uid:1000",
    "endpoint_id": "whe_1",
    "url": "https://app.example/hook",
    "receiver": "whe_1",
    "event_type": "webhook.test",
    "job_id": None,
    "status": "dead",
    "attempt_count": 1,
    "next_attempt_at": None,
    "created_at": MOMENT,
    "last_attempt": ATTEMPT,
    "dead_reason": "exhausted",
}


def endpoint(**changes: Any) -> bytes:
    return msgspec.json.encode(Endpoint(**FIELDS | changes))


def delivery(**changes: Any) -> bytes:
    return msgspec.json.encode(DeliveryDetail(**{**TOLD, "attempts": [ATTEMPT], **changes}))


def sent(recorded: Any, n: int = 0) -> Any:
    return msgspec.json.decode(recorded.requests[n].body)


def test_ls_says_how_each_endpoint_is(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    states: list[dict[str, Any]] = [
        {},
        {"paused": True},
        {"enabled": False},
        {"enabled": False, "disabled_reason": "gone"},
    ]
    listed = [Endpoint(**FIELDS | state) for state in states]
    recorded.reply(msgspec.json.encode(EndpointList(listed)))

    assert jobd("webhooks", "ls") == 0
    title, *rows = capsys.readouterr().out.splitlines()
    assert title.split() == ["ENDPOINT", "URL", "EVENTS", "STATE", "FAILING"]
    assert [row.split("ended")[1].strip() for row in rows] == [
        "open",
        "paused",
        "disabled",
        "disabled: gone",
    ]


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("ls", "/v1/webhook-endpoints?all=true&page_size=50"),
        ("deliveries", "/v1/webhook-deliveries?all=true&page_size=50"),
        ("dead", "/v1/webhook-deliveries?all=true&status=dead&page_size=50"),
    ],
)
def test_who_asks_for_all_sees_whose_they_are(
    recorded: Any, jobd: Jobd, capsys: Capture, command: str, path: str
) -> None:
    lists = (EndpointList([Endpoint(**FIELDS)]), DeliveryList([Delivery(**TOLD)], None))
    recorded.reply(msgspec.json.encode(lists[command != "ls"]))

    assert jobd("webhooks", command, "--all", "-o", "wide") == 0
    asked, wanted = (urlsplit(url) for url in (recorded.requests[0][1], path))
    assert (asked.path, parse_qs(asked.query)) == (wanted.path, parse_qs(wanted.query))
    assert "uid:1000" in capsys.readouterr().out


def test_add_sends_what_was_named_and_prints_the_secret(
    recorded: Any, jobd: Jobd, capsys: Capture
) -> None:
    recorded.reply(msgspec.json.encode(NewEndpoint(**FIELDS, secret=SECRET)), 201)

    options = ["--event", "job.failed", "--kind", "mail.*", "--kind", "a.b", "--rate", "2.5"]
    assert jobd("webhooks", "add", "https://app.example/hook", *options, "--payload", "job") == 0
    assert SECRET in capsys.readouterr().out
    assert recorded.requests[0][:2] == ("POST", "/v1/webhook-endpoints")
    assert sent(recorded) == {
        "url": "https://app.example/hook",
        "events": ["job.failed"],
        "kinds": ["mail.*", "a.b"],
        "queues": None,
        "payload": "job",
        "rate_per_second": 2.5,
        "enabled": True,
        "paused": False,
        "description": "",
        "secret": None,
    }


def test_add_is_sent_once(recorded: Any, jobd: Jobd) -> None:
    recorded.hang_up()

    assert jobd("webhooks", "add", "https://app.example/hook") == 3
    assert len(recorded.requests) == 1


def test_a_secret_may_come_from_a_file(recorded: Any, jobd: Jobd, tmp_path: Any) -> None:
    recorded.reply(msgspec.json.encode(NewEndpoint(**FIELDS, secret=SECRET)), 201)
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")

    assert jobd("webhooks", "add", "https://a.example/", "--secret-file", str(file)) == 0
    assert sent(recorded)["secret"] == SECRET


def test_a_call_is_printed_without_its_secret(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    assert jobd("webhooks", "add", "https://a.example/", "--secret", SECRET, "--curl") == 0
    assert jobd("webhooks", "rm", "whe_1", "whe_2", "--curl") == 0
    out = capsys.readouterr().out
    assert '"secret":"whsec_…"' in out
    assert SECRET not in out
    assert out.count("-X DELETE") == 2
    assert recorded.requests == []


@pytest.mark.parametrize(
    "options",
    [
        ["--secret", "hello"],
        ["--secret", SECRET, "--secret-file", "-"],
        ["--rate", "0"],
        ["--payload", "all"],
    ],
)
def test_what_cannot_be_is_a_usage_error(recorded: Any, jobd: Jobd, options: list[str]) -> None:
    assert jobd("webhooks", "add", "https://a.example/", *options) == 2
    assert recorded.requests == []


@pytest.mark.parametrize(
    ("options", "patch"),
    [
        (["--pause"], {"paused": True}),
        (["--resume"], {"paused": False}),
        (["--disable"], {"enabled": False}),
        (["--kind", "*", "--queue", "*"], {"kinds": None, "queues": None}),
        (["--event", "default", "--rate", "none"], {"events": None, "rate_per_second": None}),
        (["--url", "https://b.example/"], {"url": "https://b.example/"}),
        (["--description", ""], {"description": ""}),
    ],
)
def test_set_sends_what_was_named_alone(
    recorded: Any, jobd: Jobd, options: list[str], patch: dict[str, Any]
) -> None:
    recorded.reply(endpoint())

    assert jobd("webhooks", "set", "whe_1", *options) == 0
    assert recorded.requests[0][:2] == ("PATCH", "/v1/webhook-endpoints/whe_1")
    assert sent(recorded) == patch


def test_set_of_nothing_is_a_usage_error(recorded: Any, jobd: Jobd) -> None:
    assert jobd("webhooks", "set", "whe_1") == 2
    assert recorded.requests == []


def test_show_prints_no_secret(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(endpoint(failing_since=MOMENT))

    assert jobd("webhooks", "show", "whe_1") == 0
    out = capsys.readouterr().out
    assert "whsec_…LaSw" in out
    assert "failing for:" in out


def test_rm_removes_what_it_can(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.reply(status=204)
    recorded.refuse(404, "endpoint_not_found")

    assert jobd("webhooks", "rm", "whe_1", "whe_2") == 4
    assert capsys.readouterr().out == "whe_1: removed\n"


def test_a_removal_that_was_sent_twice_is_one(recorded: Any, jobd: Jobd) -> None:
    recorded.hang_up()
    recorded.refuse(404, "endpoint_not_found")

    assert jobd("webhooks", "rm", "whe_1") == 0


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        ([], "default", b""),
        (["whe_1", "--overlap", "60"], "whe_1", b'{"overlap_seconds":60.0}'),
    ],
)
def test_rotate_secret_prints_the_new_one(
    recorded: Any, jobd: Jobd, capsys: Capture, arguments: list[str], path: str, body: bytes
) -> None:
    recorded.reply(msgspec.json.encode(RotatedEndpoint(path, SECRET, MOMENT)))

    assert jobd("webhooks", "rotate-secret", *arguments) == 0
    out, err = capsys.readouterr()
    assert out == SECRET + "\n"
    assert "2026-01-02T03:04:05Z" in err
    assert recorded.requests[0].path == f"/v1/webhook-endpoints/{path}/rotate-secret"
    assert recorded.requests[0].body == body


@pytest.mark.parametrize("command", [["deliveries", "--status", "dead"], ["dead"]])
def test_dead_letters_are_listed_with_their_reason(
    recorded: Any, jobd: Jobd, capsys: Capture, command: list[str]
) -> None:
    recorded.reply(msgspec.json.encode(DeliveryList([Delivery(**TOLD)], "more")))

    assert jobd("webhooks", *command, "--endpoint", "whe_1", "--since", "2026-01-01T00:00:00Z") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[:6] == [
        "dlv_1",
        "webhook.test",
        "dead",
        "exhausted",
        "1",
        "503",
    ]
    assert "--limit" in err
    _, _, query = recorded.requests[0].path.partition("?")
    assert set(query.split("&")) == {
        "status=dead",
        "endpoint_id=whe_1",
        "since=2026-01-01T00%3A00%3A00Z",
        "page_size=50",
    }


def test_an_age_is_a_time(recorded: Any, jobd: Jobd) -> None:
    recorded.reply(msgspec.json.encode(DeliveryList([], None)))

    assert jobd("webhooks", "dead", "--since", "2h") == 0
    since = recorded.requests[0].path.split("since=")[1].split("&")[0]
    passed = datetime.now(UTC) - datetime.fromisoformat(since.replace("%3A", ":"))
    assert 7200 <= passed.total_seconds() < 7300


@pytest.mark.parametrize("since", ["2 h", "yesterday", "2026-01-01T00:00:00"])
def test_what_is_no_time_is_a_usage_error(recorded: Any, jobd: Jobd, since: str) -> None:
    assert jobd("webhooks", "dead", "--since", since) == 2
    assert recorded.requests == []


def test_a_delivery_is_shown_with_its_attempts_and_cannot_steer_the_terminal(
    recorded: Any, jobd: Jobd, capsys: Capture
) -> None:
    recorded.reply(delivery())

    assert jobd("webhooks", "deliveries", "dlv_1") == 0
    out = capsys.readouterr().out
    assert "webhook-id: msg_1" in out
    assert "503 http_status" in out
    assert r"(retry-after: 7) no \x1b]0;title\x07 way" in out
    assert "\x1b" not in out
    assert recorded.requests[0].path == "/v1/webhook-deliveries/dlv_1"


def test_single_deliveries_are_sent_again(recorded: Any, jobd: Jobd, capsys: Capture) -> None:
    recorded.refuse(409, "delivery_active")
    recorded.reply(delivery(status="pending"), 202)

    assert jobd("webhooks", "redeliver", "dlv_0", "dlv_1") == 6
    assert capsys.readouterr().out == "dlv_1: will be sent again\n"


def test_a_redelivery_that_was_sent_twice_is_one(recorded: Any, jobd: Jobd) -> None:
    recorded.hang_up()
    recorded.refuse(409, "delivery_active")
    recorded.reply(delivery(status="pending"))

    assert jobd("webhooks", "redeliver", "dlv_1") == 0


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--all"], {}),
        (["--endpoint", "whe_1"], {"endpoint_id": "whe_1"}),
        (["--job", "job_1", "--status", "succeeded"], {"job_id": "job_1", "status": "succeeded"}),
        (["--since", "2026-01-01T00:00:00Z"], {"since": "2026-01-01T00:00:00Z"}),
        (["--all", "--others"], {"all": True}),
    ],
)
def test_what_options_name_is_sent_again(
    recorded: Any, jobd: Jobd, capsys: Capture, options: list[str], asked: dict[str, Any]
) -> None:
    recorded.reply(msgspec.json.encode(Redelivered(3)), 202)

    assert jobd("webhooks", "redeliver", *options) == 0
    assert capsys.readouterr().out == "3 will be sent again\n"
    usual = {"status": "dead", "endpoint_id": None, "job_id": None, "since": None, "all": False}
    assert sent(recorded) == usual | asked


@pytest.mark.parametrize(
    "options",
    [[], ["dlv_1", "--all"], ["--status", "dead"], ["--others"], ["dlv_1", "--others"]],
)
def test_redeliver_wants_to_know_what(recorded: Any, jobd: Jobd, options: list[str]) -> None:
    assert jobd("webhooks", "redeliver", *options) == 2
    assert recorded.requests == []


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("retrying", 1), ("dead", 1)])
def test_a_test_says_whether_it_arrived(
    recorded: Any, jobd: Jobd, capsys: Capture, status: str, code: int
) -> None:
    recorded.reply(delivery(status="pending", attempt_count=0, last_attempt=None), 202)
    recorded.reply(delivery(status=status))

    assert jobd("webhooks", "test", "whe_1") == code
    assert status in capsys.readouterr().out
    assert recorded.requests[0][:2] == ("POST", "/v1/webhook-endpoints/whe_1/test")


def test_a_test_that_is_not_tried_in_time(recorded: Any, jobd: Jobd) -> None:
    waiting = delivery(status="pending", attempt_count=0, last_attempt=None, dead_reason=None)
    recorded.reply(waiting, 202)
    recorded.reply(waiting)

    assert jobd("webhooks", "test", "whe_1", "--timeout", "0") == 8


def test_a_client_may_say_which_version_it_changes(recorded: Any) -> None:
    recorded.reply(endpoint(), ETag='"7"')
    recorded.refuse(412, "precondition_failed")

    with Client(recorded.socket) as client:
        read = client.webhooks.get("whe_1")
        with pytest.raises(ApiError) as refused:
            client.webhooks.change("whe_1", EndpointPatch(paused=True), etag=read.etag)

    assert refused.value.status == 412
    assert recorded.requests[1].headers["If-Match"] == '"7"'


def test_a_client_reads_page_by_page(recorded: Any) -> None:
    told = Delivery(**TOLD)
    recorded.reply(msgspec.json.encode(DeliveryList([told], "next")))
    recorded.reply(msgspec.json.encode(DeliveryList([told, told], None)))

    with Client(recorded.socket) as client:
        assert len(list(client.webhooks.all_deliveries(status="dead", since=MOMENT))) == 3
        with pytest.raises(ValueError, match="no zone"):
            client.webhooks.deliveries(since=MOMENT.replace(tzinfo=None))
    assert "page_token=next" in recorded.requests[1].path
    assert "status=dead" in recorded.requests[1].path
