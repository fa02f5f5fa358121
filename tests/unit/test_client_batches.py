"""Batches: what is sent, what is sent again, and what a lost answer leads to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobd.client import ApiError, Client, SubmitRequest, Unreachable
from jobd.client.batches import BatchDetail, BatchLine, BatchTimedOut

BatchJson = Callable[..., bytes]
JOBS = [SubmitRequest(kind="a.b", args={"n": n}) for n in range(3)]
LINES = (
    b'{"kind":"a.b","args":{"n":0}}\n{"kind":"a.b","args":{"n":1}}\n{"kind":"a.b","args":{"n":2}}\n'
)


@pytest.fixture
def batch_json() -> BatchJson:
    def make(**changes: Any) -> bytes:
        names = [field.encode_name for field in msgspec.structs.fields(BatchDetail)]
        counts = {"scheduled": 0, "queued": 3, "processing": 0, "retrying": 0}
        values: dict[str, Any] = dict.fromkeys(names, "") | {
            "batch_id": "bat_1",
            "status": "processing",
            "done": False,
            "partial": False,
            "callback_url": None,
            "created_at": "2026-01-02T03:04:05Z",
            "completed_at": None,
            "expires_at": None,
            "total": 3,
            "accepted": 3,
            "rejected": 0,
            "replayed": 0,
            "retry_of": None,
            "jobs": counts | {"completed": 0, "failed": 0, "cancelled": 0},
            "job_ids": [],
            "errors": [],
            "errors_truncated": False,
        }
        return msgspec.json.encode(values | changes)

    return make


def test_jobs_are_lines(recorded: Any, batch_json: BatchJson) -> None:
    recorded.reply(batch_json(), 202)

    with Client(recorded.socket) as client:
        batch = client.batches.submit(JOBS, atomic=True, callback_url="https://x/y?z").value

    (request,) = recorded.requests
    assert (batch.batch_id, batch.accepted, request.body) == ("bat_1", 3, LINES)
    assert request.path == "/v1/batches?atomic=true&callback_url=https%3A%2F%2Fx%2Fy%3Fz"
    assert request.headers["Content-Type"] == "application/x-ndjson"
    assert len(request.headers["Idempotency-Key"]) == 34


def test_a_line_may_have_a_key_of_its_own(recorded: Any, batch_json: BatchJson) -> None:
    recorded.reply(batch_json(), 202)

    with Client(recorded.socket) as client:
        client.batches.submit([BatchLine(kind="a.b", idempotency_key="k")])

    assert recorded.requests[0].body == b'{"kind":"a.b","idempotency_key":"k"}\n'


def test_a_file_is_sent_again_from_its_beginning(
    recorded: Any, batch_json: BatchJson, tmp_path: Path
) -> None:
    """The daemon may still be at the first when the second comes: then it is waited for."""
    (tmp_path / "jobs").write_bytes(LINES)
    pauses: list[float] = []
    recorded.hang_up()
    recorded.refuse(409, "idempotency_in_progress", headers={"Retry-After": "1"})
    recorded.reply(batch_json(), 202, Idempotent_Replayed="true")

    with Client(recorded.socket, pause=pauses.append) as client:
        answer = client.batches.submit(tmp_path / "jobs")

    assert answer.replayed
    assert [request.body for request in recorded.requests] == [LINES] * 3
    assert len({request.headers["Idempotency-Key"] for request in recorded.requests}) == 1
    assert pauses[1] >= 1


def test_an_unknown_outcome_names_the_key(recorded: Any) -> None:
    with Client(recorded.socket, patience_s=0) as client, pytest.raises(Unreachable) as caught:
        client.batches.submit(LINES, idempotency_key="mine")

    assert caught.value.idempotency_key == "mine"


def test_wait_asks_when_it_is_worth_it(recorded: Any, batch_json: BatchJson) -> None:
    pauses: list[float] = []
    recorded.reply(batch_json(), Retry_After="7", ETag='W/"1"')
    recorded.reply(status=304, Retry_After="9")
    recorded.reply(batch_json(status="completed", done=True))

    with Client(recorded.socket, pause=pauses.append) as client:
        assert client.batches.wait("bat_1").value.done

    first, second = pauses
    assert 7 <= first <= 8.75
    assert 9 <= second <= 11.25
    assert recorded.requests[1].headers["If-None-Match"] == 'W/"1"'


def test_wait_gives_up_when_its_time_is_over(recorded: Any, batch_json: BatchJson) -> None:
    recorded.reply(batch_json())

    with Client(recorded.socket) as client, pytest.raises(BatchTimedOut) as caught:
        client.batches.wait("bat_1", timeout_s=0)

    assert caught.value.batch.batch_id == "bat_1"


def test_batches_come_page_after_page(recorded: Any, batch_json: BatchJson) -> None:
    one, two = (msgspec.json.decode(batch_json(batch_id=name)) for name in ("bat_1", "bat_2"))
    recorded.reply(msgspec.json.encode({"batches": [two], "next_page_token": "t"}))
    recorded.reply(msgspec.json.encode({"batches": [one], "next_page_token": None}))

    with Client(recorded.socket) as client:
        found = [batch.batch_id for batch in client.batches.all(page_size=1, all=True)]

    assert found == ["bat_2", "bat_1"]
    assert recorded.requests[1].path == "/v1/batches?all=true&page_size=1&page_token=t"


def test_cancel_tells_what_was_done(recorded: Any, batch_json: BatchJson) -> None:
    recorded.reply(batch_json())

    with Client(recorded.socket) as client:
        client.batches.cancel("bat_1")

    request = recorded.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/batches/bat_1/cancel")


def test_a_retry_whose_answer_is_lost_leads_to_the_same_new_batch(
    recorded: Any, batch_json: BatchJson
) -> None:
    other, new = (
        msgspec.json.decode(batch_json(batch_id=name, retry_of=of))
        for name, of in (("bat_3", "bat_x"), ("bat_2", "bat_1"))
    )
    recorded.hang_up()
    recorded.refuse(409, "nothing_to_retry")
    recorded.reply(msgspec.json.encode({"batches": [other, new], "next_page_token": None}))
    recorded.reply(batch_json(batch_id="bat_2"))

    with Client(recorded.socket) as client:
        assert client.batches.retry("bat_1").value.batch_id == "bat_2"

    assert recorded.requests[0].path == "/v1/batches/bat_1/retry?status=failed"


def test_a_retry_of_nothing_is_refused(recorded: Any) -> None:
    recorded.refuse(409, "nothing_to_retry")

    with Client(recorded.socket) as client, pytest.raises(ApiError):
        client.batches.retry("bat_1")
