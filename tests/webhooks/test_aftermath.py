"""What attempts mean for an endpoint, and what its owner's changes mean for what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks import Webhook

from jobd.domain.endpoints import EndpointChange, EndpointRemoval, EndpointRotation
from jobd.domain.signing import new_secret
from jobd.webhooks.ops import PRINCIPAL as OPS

if TYPE_CHECKING:
    from jobd.domain.endpoints import Endpoint
    from tests.webhooks.conftest import Outbox, Receiver


async def over(outbox: Outbox, *delivery_ids: str) -> None:
    """Wait until nothing of these waits any more."""
    while {"pending", "retrying"} & {(await outbox.state(one))[0] for one in delivery_ids}:
        await outbox.a_while()


def change(endpoint: Endpoint, **fields: Any) -> EndpointChange:
    return EndpointChange(endpoint_id=endpoint.endpoint_id, principal=endpoint.principal, **fields)


def failing_since(outbox: Outbox, endpoint: Endpoint) -> int | None:
    now = outbox.writer.endpoints.get(endpoint.endpoint_id)
    assert now is not None
    return now.failing_since_ms


async def test_an_endpoint_is_sent_what_its_own_secret_signs(
    outbox: Outbox, receiver: Receiver
) -> None:
    endpoint = await outbox.endpoint(receiver.url)
    (delivery_id,) = await outbox.tell_endpoint(endpoint)

    async with outbox.delivering():
        (request,) = await receiver.received(1)

    assert Webhook(endpoint.secret).verify(request.body, request.headers)
    assert await outbox.state(delivery_id) == ("succeeded", 1, None, None)


async def test_after_a_rotation_both_secrets_sign(outbox: Outbox, receiver: Receiver) -> None:
    endpoint = await outbox.endpoint(receiver.url)
    whose = (endpoint.endpoint_id, endpoint.principal)

    async with outbox.delivering():
        rotated = await outbox.writer.rotate_endpoint(
            EndpointRotation(*whose, secret=new_secret(), overlap_ms=60_000)
        )
        await outbox.tell_endpoint(endpoint)
        (request,) = await receiver.received(1)

    for secret in (endpoint.secret, rotated.secret):
        assert Webhook(secret).verify(request.body, request.headers)


async def test_410_disables_an_endpoint_and_ends_what_waits(
    outbox: Outbox, receiver: Receiver
) -> None:
    endpoint = await outbox.endpoint(receiver.url)
    receiver.answer(500)
    (retried,) = await outbox.tell_endpoint(endpoint)

    async with outbox.delivering():
        await outbox.deliveries.attempts(1)
        receiver.answer(410)
        (refused,) = await outbox.tell_endpoint(endpoint)
        await over(outbox, retried, refused)

    assert await outbox.state(refused) == ("dead", 1, None, "gone")
    assert await outbox.state(retried) == ("dead", 1, None, "endpoint_disabled")
    now = outbox.writer.endpoints.get(endpoint.endpoint_id)
    assert now is not None
    assert (now.enabled, now.disabled_reason) == (False, "gone")
    assert [type_ for type_, _ in outbox.told] == ["webhook.endpoint_disabled"]


async def test_410_to_a_callback_is_the_end_of_that_alone(
    outbox: Outbox, receiver: Receiver
) -> None:
    receiver.answer(410)
    (gone,) = await outbox.tell(receiver.url)

    async with outbox.delivering():
        await outbox.deliveries.attempts(1)
        (taken,) = await outbox.tell(receiver.url, seq=2)
        await outbox.deliveries.attempts(2)

    assert (await outbox.state(gone))[3] == "gone"
    assert (await outbox.state(taken))[0] == "succeeded"


async def test_what_waits_for_a_disabled_endpoint_is_dead(
    outbox: Outbox, receiver: Receiver
) -> None:
    endpoint = await outbox.endpoint(receiver.url, paused=True)
    waiting = await outbox.tell_endpoint(endpoint, 3)

    async with outbox.delivering():
        await outbox.writer.change_endpoint(change(endpoint, enabled=False))
        await over(outbox, *waiting)

    assert {await outbox.state(one) for one in waiting} == {("dead", 0, None, "endpoint_disabled")}
    assert receiver.requests == []


async def test_what_was_never_sent_can_be_when_its_job_is_gone(
    outbox: Outbox, receiver: Receiver
) -> None:
    endpoint = await outbox.endpoint(receiver.url, paused=True)
    waiting = await outbox.tell_endpoint(endpoint, 3)
    async with outbox.delivering():
        await outbox.writer.change_endpoint(change(endpoint, enabled=False))
        await over(outbox, *waiting)

    assert await outbox.rows("SELECT count(body) FROM messages") == [(3,)]


async def test_what_waits_for_a_deleted_endpoint_is_dead(
    outbox: Outbox, receiver: Receiver
) -> None:
    endpoint = await outbox.endpoint(receiver.url)
    receiver.answer(500)
    (waiting,) = await outbox.tell_endpoint(endpoint)

    async with outbox.delivering():
        await outbox.deliveries.attempts(1)
        await outbox.writer.remove_endpoint(
            EndpointRemoval(endpoint.endpoint_id, endpoint.principal)
        )
        await over(outbox, waiting)

    assert await outbox.state(waiting) == ("dead", 1, None, "endpoint_deleted")


async def test_one_that_was_deleted_while_the_daemon_was_down_too(
    outbox: Outbox, receiver: Receiver
) -> None:
    endpoint = await outbox.endpoint(receiver.url)
    waiting = await outbox.tell_endpoint(endpoint, 2)
    await outbox.writer.remove_endpoint(EndpointRemoval(endpoint.endpoint_id, endpoint.principal))

    async with outbox.delivering():
        await over(outbox, *waiting)

    assert {(await outbox.state(one))[3] for one in waiting} == {"endpoint_deleted"}
    assert receiver.requests == []


async def test_what_waits_for_a_paused_endpoint_goes_when_it_is_resumed(
    outbox: Outbox, receiver: Receiver
) -> None:
    endpoint = await outbox.endpoint(receiver.url, paused=True)
    waiting = await outbox.tell_endpoint(endpoint, 10)

    async with outbox.delivering():
        await outbox.a_while()
        assert receiver.requests == []
        await outbox.writer.change_endpoint(change(endpoint, paused=False))
        await outbox.deliveries.attempts(10)

    assert {await outbox.state(one) for one in waiting} == {("succeeded", 1, None, None)}


async def test_a_new_url_is_asked_at_once_whatever_the_old_one_did(
    outbox: Outbox, receiver: Receiver
) -> None:
    endpoint = await outbox.endpoint(receiver.url)
    for _ in range(8):
        receiver.answer(500)
    waiting = await outbox.tell_endpoint(endpoint, 20)

    async with outbox.delivering():
        await outbox.deliveries.attempts(5)
        await outbox.a_while()
        behind_the_breaker = 20 - len(receiver.requests)
        receiver.behaviours.clear()
        await outbox.writer.change_endpoint(change(endpoint, url=receiver.url + "/new"))
        await receiver.received(20)

    assert behind_the_breaker >= 12
    assert [one.path for one in receiver.requests[-behind_the_breaker:]] == [
        "/hook/new"
    ] * behind_the_breaker
    assert [(await outbox.state(one))[0] for one in waiting].count("succeeded") == (
        behind_the_breaker
    )


async def test_since_when_it_fails_is_noted_and_forgotten(
    outbox: Outbox, receiver: Receiver
) -> None:
    endpoint = await outbox.endpoint(receiver.url)
    receiver.answer(500)
    (delivery_id,) = await outbox.tell_endpoint(endpoint)

    async with outbox.delivering():
        while failing_since(outbox, endpoint) is None:
            await outbox.a_while()
        assert failing_since(outbox, endpoint) == outbox.clock.ms
        outbox.clock.advance(5)
        outbox.told_of([endpoint.endpoint_id])
        await over(outbox, delivery_id)
        while failing_since(outbox, endpoint) is not None:
            await outbox.a_while()


@pytest.mark.parametrize(("principal", "events"), [("uid:1000", 1), (OPS, 0)])
async def test_dead_letters_are_told_of_but_for_the_operators_own(
    outbox: Outbox, receiver: Receiver, principal: str, events: int
) -> None:
    receiver.answer(500)
    (delivery_id,) = await outbox.tell(receiver.url, principal=principal)

    async with outbox.delivering(schedule_s=()):
        await outbox.deliveries.attempts(1)
        await outbox.a_while()

    assert (await outbox.state(delivery_id))[3] == "exhausted"
    assert [type_ for type_, _ in outbox.told] == ["webhook.delivery_exhausted"] * events
