"""One attempt against receivers that misbehave, and against addresses that are forbidden."""

from __future__ import annotations

import gzip
import socket
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from jobd.domain.deliveries import Target, parse_target
from jobd.domain.errors import Invalid
from jobd.domain.signing import new_secret
from jobd.webhooks.egress import Policy
from jobd.webhooks.sender import Post, Sender

if TYPE_CHECKING:
    from tests.webhooks.conftest import HandClock, Listener, OpenOutbox, Outbox, Receiver

SECRET = new_secret()


async def test_a_receiver_that_hangs_is_given_up(outbox: Outbox, receiver: Receiver) -> None:
    receiver.hang()

    ended = await outbox.attempted(receiver.url, timeout_s=0.05)

    await receiver.hung_up.wait()
    assert (ended.attempt.error, ended.attempt.status_code) == ("timeout", None)
    assert ended.verdict.delay_s == 5.0


@pytest.mark.parametrize(
    "first",
    [b"", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"\0" * 100],
    ids=["nothing", "ssh", "half", "zeros"],
)
async def test_what_is_no_answer_is_a_failure(
    outbox: Outbox, receiver: Receiver, first: bytes
) -> None:
    receiver.cut_off(first)

    ended = await outbox.attempted(receiver.url)

    assert (ended.attempt.error, ended.attempt.status_code) == ("protocol", None)


async def test_headers_without_end_are_a_failure(outbox: Outbox, receiver: Receiver) -> None:
    receiver.cut_off(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")

    ended = await outbox.attempted(receiver.url)

    assert ended.attempt.error == "protocol"


async def test_of_an_answer_without_end_little_is_read(outbox: Outbox, receiver: Receiver) -> None:
    receiver.pour(b"spam " * 1000)

    ended = await outbox.attempted(receiver.url)

    await receiver.hung_up.wait()
    assert (ended.attempt.status_code, ended.verdict.status) == (200, "succeeded")
    assert ended.attempt.response_excerpt == ("spam " * 1000)[:1024]


async def test_an_answer_is_not_unpacked(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answer(200, gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")

    ended = await outbox.attempted(receiver.url)

    assert (ended.verdict.status, ended.attempt.response_excerpt) == ("succeeded", None)


async def test_a_body_that_stalls_does_not_undo_its_status(
    outbox: Outbox, receiver: Receiver
) -> None:
    receiver.stall(b"almost")

    ended = await outbox.attempted(receiver.url, timeout_s=0.05)

    await receiver.hung_up.wait()
    assert (ended.verdict.status, ended.attempt.response_excerpt) == ("succeeded", "almost")


@pytest.mark.parametrize(
    ("body", "excerpt"),
    [
        (b"", None),
        (b"\x89PNG\0\1", None),
        (b"caf\xc3\xa9\nok", "café\nok"),
        (b"\x1b[2J\r\nforged\xff", "�[2J�\nforged�"),
        ("é".encode() * 1000, "é" * 512),
        (b"\xff" * 1024, "�" * 341),
    ],
)
async def test_the_excerpt_is_text_and_harmless(
    outbox: Outbox, receiver: Receiver, body: bytes, excerpt: str | None
) -> None:
    receiver.answer(500, body)

    ended = await outbox.attempted(receiver.url)

    assert ended.attempt.response_excerpt == excerpt


async def test_nobody_at_the_socket_is_a_failure_to_connect(outbox: Outbox) -> None:
    outbox.policy = Policy(allow_unix=("/nonexistent/s",))

    ended = await outbox.attempted("unix:/nonexistent/s:/")

    assert ended.attempt.error == "connect"


async def test_few_connections_carry_many_deliveries(outbox: Outbox, receiver: Receiver) -> None:
    for seq in range(40):
        await outbox.tell(receiver.url, seq=seq)

    async with outbox.delivering():
        await receiver.received(40)

    assert 1 <= len(receiver.connections) <= 4


async def test_those_that_wait_their_turn_run_out_of_no_time(
    outbox: Outbox, receiver: Receiver
) -> None:
    for seq in range(8):
        receiver.hang() if seq < 4 else receiver.answer(204)
        await outbox.tell(receiver.url, seq=seq)

    async with outbox.delivering(timeout_s=0.3):
        ended = await outbox.deliveries.attempts(8)

    assert [one.attempt.error for one in ended] == ["timeout"] * 4 + [None] * 4


class Names(AbstractResolver):
    """A resolver that gives the next address of its list at each call."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not self.addresses:
            raise OSError(None, "no such name")
        found = self.addresses.pop(0).split()
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
async def test_this_host_is_blocked_at_its_connect(
    clock: HandClock, listener: Listener, host: str
) -> None:
    sender = Sender(Policy(allow_http=True), clock, timeout_s=20)
    target = Target(f"http://{host}:{listener.port}/")

    attempt = await sender.send(Post(target, "msg_1", 1, b"{}", (SECRET,)))

    await sender.close()
    assert (attempt.error, listener.connections) == ("blocked_address", 0)


async def test_this_host_is_blocked_at_submit(listener: Listener) -> None:
    with pytest.raises(Invalid, match=r"127\.0\.0\.1 may not be sent to"):
        parse_target(f"http://127.0.0.1:{listener.port}/", Policy(allow_http=True))


@pytest.mark.parametrize("addresses", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"])  # noqa: S104 - nothing binds to it
async def test_a_name_that_leads_here_makes_a_dead_letter(
    outbox: Outbox, listener: Listener, addresses: str
) -> None:
    ended = await outbox.attempted(
        f"http://harmless.example:{listener.port}/", resolver=Names(addresses)
    )

    assert ended.attempt.error == ended.verdict.dead_reason == "blocked_address"
    assert listener.connections == 0


async def test_a_literal_in_the_row_makes_a_dead_letter(outbox: Outbox, listener: Listener) -> None:
    ended = await outbox.attempted(f"http://127.0.0.1:{listener.port}/")

    assert ended.verdict.dead_reason == "blocked_address"
    assert listener.connections == 0


async def test_a_socket_that_is_no_longer_allowed_makes_a_dead_letter(
    outbox: Outbox, receiver: Receiver
) -> None:
    outbox.policy = Policy()

    ended = await outbox.attempted(receiver.url)

    assert ended.verdict.dead_reason == "callback_not_allowed"
    assert receiver.requests == []


async def test_one_forbidden_address_of_a_name_is_enough(
    open_outbox: OpenOutbox, listener: Listener
) -> None:
    lan = (ip_network("127.0.0.2/32"),)
    async with open_outbox(allow_http=True, allow_private=lan) as outbox:
        # nobody listens on the first, which is allowed
        ended = await outbox.attempted(
            f"http://both.example:{listener.port}/", resolver=Names("127.0.0.2 127.0.0.1")
        )

    assert ended.verdict.dead_reason == "blocked_address"
    assert listener.connections == 0


async def test_a_name_that_turns_is_blocked_when_it_does(
    open_outbox: OpenOutbox, listener: Listener
) -> None:
    lan = (ip_network("127.0.0.2/32"),)
    names = Names("127.0.0.2", "127.0.0.1")
    async with open_outbox(allow_http=True, allow_private=lan) as outbox:
        await outbox.tell(f"http://turning.example:{listener.port}/")
        async with outbox.delivering(resolver=names) as deliverer:
            await outbox.deliveries.attempts(1)
            outbox.clock.advance(5)
            deliverer.wake()
            first, second = await outbox.deliveries.attempts(2)

    assert (first.attempt.error, second.attempt.error) == ("connect", "blocked_address")
    assert listener.connections == 0


async def test_a_name_that_nobody_knows_is_tried_again(outbox: Outbox) -> None:
    ended = await outbox.attempted("https://nowhere.example/", resolver=Names())

    assert (ended.attempt.error, ended.verdict.status) == ("dns", "retrying")


async def test_who_speaks_no_tls_is_tried_again(
    open_outbox: OpenOutbox, listener: Listener
) -> None:
    lan = (ip_network("127.0.0.0/8"),)
    async with open_outbox(allow_private=lan) as outbox:
        ended = await outbox.attempted(f"https://127.0.0.1:{listener.port}/")

    assert (ended.attempt.error, listener.connections) == ("tls", 1)
