"""From the stored message to the receiver: signed, retried, recorded, over restarts too."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from standardwebhooks import Webhook

if TYPE_CHECKING:
    from pathlib import Path

    from jobd.domain.deliveries import Message
    from tests.webhooks.conftest import OpenOutbox, Outbox, Receiver

PRINCIPAL = "uid:1000"


async def secret(outbox: Outbox) -> str:
    return (await outbox.deliveries.secrets_of([PRINCIPAL]))[PRINCIPAL][0]


async def test_a_message_arrives_signed(outbox: Outbox, receiver: Receiver) -> None:
    (delivery_id,) = await outbox.tell(receiver.url + "?a=1")

    async with outbox.delivering():
        (request,) = await receiver.received(1)

    assert await outbox.state(delivery_id) == ("succeeded", 1, None, None)
    assert (request.path, request.body) == ("/hook?a=1", b'{"n":1}')
    assert Webhook(await secret(outbox)).verify(request.body, request.headers) == {"n": 1}
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("jobd/")
    assert request.headers["jobd-attempt"] == "1"
    assert request.headers["webhook-timestamp"] == str(outbox.clock.ms // 1000)
    assert not {"Cookie", "Authorization", "traceparent", "Accept-Encoding"} & set(request.headers)


async def test_a_failure_is_sent_again_byte_for_byte(outbox: Outbox, receiver: Receiver) -> None:
    (delivery_id,) = await outbox.tell(receiver.url)
    receiver.answer(500, b"out of order", Content_Type="text/plain")

    async with outbox.delivering() as deliverer:
        await outbox.deliveries.attempts(1)
        assert await outbox.state(delivery_id) == ("retrying", 1, 5.0, None)
        outbox.bodies = lambda _: b"another"
        outbox.clock.advance(5)
        deliverer.wake()
        first, second = await receiver.received(2)

    assert await outbox.state(delivery_id) == ("succeeded", 2, None, None)
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    assert [one.headers["jobd-attempt"] for one in (first, second)] == ["1", "2"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert Webhook(await secret(outbox)).verify(second.body, second.headers)
    assert await outbox.rows(
        "SELECT attempt, status_code, error, response_excerpt, response_headers"
        " FROM delivery_attempts ORDER BY attempt"
    ) == [
        (1, 500, "http_status", "out of order", '{"content-type":"text/plain"}'),
        (2, 204, None, None, "{}"),
    ]


async def test_the_timer_itself_comes_back_for_a_retry(outbox: Outbox, receiver: Receiver) -> None:
    (delivery_id,) = await outbox.tell(receiver.url)
    receiver.answer(503)

    outbox.clock.runs = True
    async with outbox.delivering(schedule_s=(0.02,)):
        await receiver.received(2)

    assert await outbox.state(delivery_id) == ("succeeded", 2, None, None)


@pytest.mark.parametrize(
    ("status", "headers", "state"),
    [
        (302, {"Location": "http://localhost/elsewhere"}, ("retrying", 1, 5.0, None)),
        (404, {}, ("retrying", 1, 5.0, None)),
        (410, {}, ("dead", 1, None, "gone")),
        (429, {"Retry_After": "3600"}, ("retrying", 1, 3600.0, None)),
        (299, {}, ("succeeded", 1, None, None)),
    ],
)
async def test_the_status_decides(
    outbox: Outbox,
    receiver: Receiver,
    status: int,
    headers: dict[str, str],
    state: tuple[object, ...],
) -> None:
    (delivery_id,) = await outbox.tell(receiver.url)
    receiver.answer(status, **headers)

    async with outbox.delivering():
        await outbox.deliveries.attempts(1)

    assert await outbox.state(delivery_id) == state
    assert len(receiver.requests) == 1


async def test_after_the_last_attempt_it_is_a_dead_letter(
    outbox: Outbox, receiver: Receiver
) -> None:
    (delivery_id,) = await outbox.tell(receiver.url)

    async with outbox.delivering() as deliverer:
        for attempt, wait_s in enumerate((5, 60, 0), start=1):
            receiver.answer(500)
            deliverer.wake()
            await outbox.deliveries.attempts(attempt)
            outbox.clock.advance(wait_s)

    assert await outbox.state(delivery_id) == ("dead", 3, None, "exhausted")
    assert len(receiver.requests) == 3
    assert {request.webhook_id for request in receiver.requests} == {
        receiver.requests[0].webhook_id
    }


async def test_a_receiver_that_hangs_delays_no_other(outbox: Outbox, receiver: Receiver) -> None:
    receiver.hang()
    (hanging,) = await outbox.tell(receiver.url)

    async with outbox.delivering(timeout_s=20.0, grace_s=0.0) as deliverer:
        await receiver.received(1)
        (prompt,) = await outbox.tell(receiver.url, seq=2)
        deliverer.wake()
        await outbox.deliveries.attempts(1)

    await receiver.hung_up.wait()
    assert await outbox.state(prompt) == ("succeeded", 1, None, None)
    assert await outbox.state(hanging) == ("pending", 0, 0.0, None)


async def test_what_was_under_way_is_sent_again_after_a_restart(
    open_outbox: OpenOutbox, receiver: Receiver
) -> None:
    receiver.hang()
    async with open_outbox(allow_unix=(receiver.socket,)) as outbox:
        (delivery_id,) = await outbox.tell(receiver.url)
        async with outbox.delivering(grace_s=0.0):
            await receiver.received(1)

    async with open_outbox(allow_unix=(receiver.socket,)) as restarted:
        async with restarted.delivering():
            first, second = await receiver.received(2)

        assert await restarted.state(delivery_id) == ("succeeded", 1, None, None)
        assert restarted.rendered == []
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)


async def test_a_stop_waits_for_what_is_under_way(outbox: Outbox, receiver: Receiver) -> None:
    ids = [(await outbox.tell(receiver.url, seq=seq))[0] for seq in range(200)]

    async with outbox.delivering():
        await receiver.received(1)

    counts = [(await outbox.state(delivery_id))[1] for delivery_id in ids]
    assert sum(counts) == len(receiver.requests)


async def test_many_are_delivered_once_each(outbox: Outbox, receiver: Receiver) -> None:
    for seq in range(300):
        await outbox.tell(receiver.url, seq=seq)

    async with outbox.delivering():
        await outbox.deliveries.attempts(300)

    assert sorted(one.body for one in receiver.requests) == sorted(
        f'{{"n":{seq}}}'.encode() for seq in range(300)
    )
    assert len({one.webhook_id for one in receiver.requests}) == 300


async def test_one_message_to_two_urls_is_rendered_once(outbox: Outbox, receiver: Receiver) -> None:
    await outbox.tell(receiver.url, receiver.url + "/b")

    async with outbox.delivering():
        await outbox.deliveries.attempts(2)

    assert len(outbox.rendered) == 1
    assert {one.webhook_id for one in receiver.requests} == set(outbox.rendered)
    assert {one.path for one in receiver.requests} == {"/hook", "/hook/b"}


async def test_the_body_is_saved_before_the_first_dial(outbox: Outbox, receiver: Receiver) -> None:
    await outbox.tell(receiver.url)
    receiver.hang()

    async with outbox.delivering(grace_s=0.0):
        await receiver.received(1)
        assert await outbox.rows("SELECT body FROM messages") == [(b'{"n":1}',)]


async def test_a_message_whose_job_is_gone_is_dropped(outbox: Outbox, receiver: Receiver) -> None:
    def of_two_only(message: Message) -> bytes | None:
        return b"{}" if message.seq == 2 else None

    outbox.bodies = of_two_only
    await outbox.tell(receiver.url, seq=1)
    await outbox.tell(receiver.url, seq=2)

    async with outbox.delivering():
        await outbox.deliveries.attempts(1)

    assert await outbox.rows("SELECT seq, status FROM deliveries") == [(2, "succeeded")]
    assert await outbox.rows("SELECT seq FROM messages") == [(2,)]


async def test_a_rotated_secret_signs_beside_the_new_one(
    outbox: Outbox, receiver: Receiver
) -> None:
    old = await secret(outbox)
    new = (await outbox.deliveries.rotate(PRINCIPAL, 60)).secret
    await outbox.tell(receiver.url)

    async with outbox.delivering():
        (request,) = await receiver.received(1)

    assert Webhook(old).verify(request.body, request.headers)
    assert Webhook(new).verify(request.body, request.headers)


async def test_a_delivery_carries_on_the_trace_of_its_job(
    outbox: Outbox, receiver: Receiver
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    await outbox.database.run(
        lambda c: c.execute(
            "INSERT INTO job_inputs (seq, metadata, traceparent, args) VALUES (1, '{}', ?, x'')",
            (f"00-{trace}-b7ad6b7169203331-01",),
        )
    )
    await outbox.tell(receiver.url)

    async with outbox.delivering():
        (request,) = await receiver.received(1)

    version, trace_id, parent_id, flags = request.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", trace, "01")
    assert len(parent_id) == 16
    assert parent_id != "b7ad6b7169203331"


async def test_nothing_runs_while_nothing_is_due(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(500)
    await outbox.tell(receiver.url)

    async with outbox.delivering():
        await outbox.deliveries.attempts(1)
        await outbox.a_while()
        looks = outbox.deliveries.looks
        await outbox.a_while()

        assert outbox.deliveries.looks == looks


async def test_a_full_disk_is_waited_out(outbox: Outbox, receiver: Receiver) -> None:
    (delivery_id,) = await outbox.tell(receiver.url)
    await secret(outbox)
    outbox.bodies = lambda _: b'"' + b"a" * 100_000 + b'"'
    await limit_pages(outbox, 1)

    async with outbox.delivering() as deliverer:
        while len(outbox.rendered) < 3:
            deliverer.wake()
            await outbox.a_while()
        assert receiver.requests == []
        await limit_pages(outbox, 100_000)
        deliverer.wake()
        await receiver.received(1)

    assert await outbox.state(delivery_id) == ("succeeded", 1, None, None)


async def limit_pages(outbox: Outbox, pages: int) -> None:
    """Let the file have that many pages; no fewer than it has."""
    limit = f"PRAGMA max_page_count = {pages}"
    await outbox.database.run(lambda connection: connection.execute(limit).fetchall())


async def test_a_lock_of_another_program_is_waited_out(
    outbox: Outbox, receiver: Receiver, tmp_path: Path
) -> None:
    (delivery_id,) = await outbox.tell(receiver.url)
    await outbox.database.run(lambda c: c.execute("PRAGMA busy_timeout = 1").fetchall())
    other = sqlite3.connect(tmp_path / "jobd.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async with outbox.delivering() as deliverer:
        while len(outbox.rendered) < 3:
            deliverer.wake()
            await outbox.a_while()
        assert (receiver.requests, outbox.deaths) == ([], [])
        other.close()
        deliverer.wake()
        await receiver.received(1)

    assert await outbox.state(delivery_id) == ("succeeded", 1, None, None)


async def test_a_bug_ends_the_loop_aloud(outbox: Outbox, receiver: Receiver) -> None:
    def broken(_: Message) -> bytes | None:
        raise LookupError

    outbox.bodies = broken
    await outbox.tell(receiver.url)

    async with outbox.delivering():
        while not outbox.deaths:
            await outbox.a_while()

    (death,) = outbox.deaths
    outbox.deaths.clear()
    assert isinstance(death, ExceptionGroup)
    assert death.subgroup(LookupError)
