"""kill -9 while webhooks are under way: all arrive, none is lost, each keeps its webhook-id."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.kill import clients, loop
from tests.webhooks.receiver import Receiver, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

IN_FLIGHT = 60
HOSTS = [f"127.0.0.{n}" for n in range(1, IN_FLIGHT + 1)]
ALLOWED = {"JOBD_WEBHOOKS_ALLOW_HTTP": "true", "JOBD_WEBHOOKS_ALLOW_PRIVATE": "127.0.0.0/8"}


class Sender:
    """The daemon that is killed, as one who submits and looks into its file sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def begin(self, known_as: str) -> None:
        """Start it; what it is known as would show in a body that is rendered now."""
        self.victim = loop.Victim(
            self._folder, **ALLOWED, JOBD_SERVER_PUBLIC_URL=f"https://{known_as}.example"
        )
        self.victim.begin()
        await asyncio.to_thread(self.victim.wait_ready)

    async def ask(self, url: str, body: Any) -> dict[str, Any]:
        headers = {"Prefer": "respond-async"}
        asked = await asyncio.to_thread(clients.ask, self.victim.socket, "POST", url, headers, body)
        status, answer = await asyncio.to_thread(clients.answer_of, asked)
        assert status < 300, answer
        return answer

    async def secret(self) -> str:
        answer = await self.ask("/v1/webhook-endpoints/default/rotate-secret", {})
        return str(answer["secret"])

    async def tell(self, url: str) -> None:
        """Have a job end, and this URL be told."""
        await self.ask("/v1/jobs", {"kind": "test.echo", "args": {}, "callback_url": url})

    def rows(self, sql: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.victim.database)) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
async def sender(tmp_path: Path) -> AsyncIterator[Sender]:
    sender = Sender(tmp_path)
    await sender.begin("first")
    await asyncio.to_thread(loop.wait_for_kinds, sender.victim.socket)
    yield sender
    await asyncio.to_thread(sender.victim.close)


def bodies(receiver: Receiver) -> dict[str, set[bytes]]:
    """Return all that came, by webhook-id."""
    found: dict[str, set[bytes]] = {}
    for one in receiver.genuine:
        found.setdefault(one.webhook_id, set()).add(one.body)
    return found


async def test_what_was_in_flight_is_sent_again_with_the_same_id(sender: Sender) -> None:
    async with serving(*HOSTS) as receiver:
        receiver.trust(await sender.secret())
        receiver.hold()
        for host in HOSTS:
            await sender.tell(receiver.url("ok", host))
        await receiver.wait_for(lambda: receiver.held == IN_FLIGHT)
        before = bodies(receiver)

        await asyncio.to_thread(sender.victim.kill)
        receiver.let_go.set()
        await sender.begin("second")
        await receiver.wait_for(lambda: receiver.answered == IN_FLIGHT)
        assert await asyncio.to_thread(sender.victim.stop) == 0

    after = bodies(receiver)
    assert after == before
    assert {len(sent) for sent in after.values()} == {1}
    assert len(receiver.genuine) == 2 * IN_FLIGHT
    ends = sender.rows("SELECT message_id, status, attempt_count FROM deliveries")
    assert sorted(ends) == [(one, "succeeded", 1) for one in sorted(after)]


async def test_one_that_was_taken_and_not_written_is_sent_again(sender: Sender) -> None:
    """The receiver locks the daemon's file before it answers, so that no luck is needed."""
    lock = sqlite3.connect(sender.victim.database, isolation_level=None, timeout=30)
    async with serving() as receiver:
        receiver.trust(await sender.secret())
        receiver.before_answer = lambda: lock.execute("BEGIN IMMEDIATE")
        await sender.tell(receiver.url("ok"))
        await receiver.wait_for(lambda: receiver.answered == 1)

        await asyncio.to_thread(sender.victim.kill)
        assert sender.rows("SELECT status, attempt_count FROM deliveries") == [("pending", 0)]
        lock.close()
        receiver.before_answer = lambda: None
        await sender.begin("second")
        await receiver.wait_for(lambda: receiver.answered == 2)
        assert await asyncio.to_thread(sender.victim.stop) == 0

    first, second = receiver.genuine
    assert first == second
    assert sender.rows("SELECT status, attempt_count FROM deliveries") == [("succeeded", 1)]
