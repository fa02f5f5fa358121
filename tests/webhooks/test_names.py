"""Names whose servers do not answer keep nobody else waiting."""

from __future__ import annotations

import asyncio
import socket
import threading
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.deliveries import Target
from jobd.webhooks import names
from jobd.webhooks.egress import Policy
from jobd.webhooks.sender import Post, Sender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.webhooks.conftest import HandClock, Listener

MANY = 40
"""More than an event loop has threads for."""
SECRET = "whsec_" + "A" * 32


class Servers:
    """The name servers: of `*.silent.example` there is no answer until the end."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._came: asyncio.Queue[str] = asyncio.Queue()
        self._look_up = socket.getaddrinfo

    def look_up(self, host: str, *arguments: Any, **named: Any) -> Any:
        self.asked.append(host)
        self._loop.call_soon_threadsafe(self._came.put_nowait, host)
        if host.endswith(".silent.example"):
            self.answer.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return self._look_up(host, *arguments, **named)

    async def were_asked(self, times: int) -> None:
        """Return when they have been asked so often more."""
        for _ in range(times):
            await self._came.get()


@pytest.fixture
async def servers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Servers]:
    servers = Servers()
    monkeypatch.setattr(socket, "getaddrinfo", servers.look_up)
    yield servers
    servers.answer.set()


@pytest.fixture
async def sender(clock: HandClock) -> AsyncIterator[Sender]:
    policy = Policy(allow_http=True, allow_private=(ip_network("127.0.0.1/32"),))
    sender = Sender(policy, clock, timeout_s=2)
    yield sender
    await sender.close()


def post(host: str, port: int) -> Post:
    return Post(Target(f"http://{host}:{port}/"), "msg_1", 1, b"{}", (SECRET,))


async def test_many_silent_names_hold_up_no_other_and_no_file(
    servers: Servers, sender: Sender, listener: Listener
) -> None:
    hosts = [f"{n}.silent.example" for n in range(MANY)]
    silent = [asyncio.create_task(sender.send(post(host, 8080))) for host in hosts]
    async with asyncio.timeout(1.5):
        await servers.were_asked(MANY)
        await asyncio.to_thread(lambda: None)
        heard = await sender.send(post("localhost", listener.port))

    assert (heard.error, listener.connections) == ("protocol", 1)  # it speaks no HTTP
    assert {(await one).error for one in silent} == {"timeout"}


async def test_a_silent_name_is_asked_for_once_at_a_time(servers: Servers, sender: Sender) -> None:
    tries = [sender.send(post("one.silent.example", 8080)) for _ in range(8)]
    ended = asyncio.gather(*tries)
    await servers.were_asked(1)
    servers.answer.set()

    assert {one.error for one in await ended} == {"dns"}
    assert servers.asked == ["one.silent.example"]
    assert (await sender.send(post("one.silent.example", 8080))).error == "dns"
    assert len(servers.asked) == 2


async def test_too_many_silent_names_are_a_failure_of_theirs(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "AT_ONCE", 2)
    resolver = names.Names()
    tries = [resolver.resolve(f"{n}.silent.example") for n in range(2)]
    silent = asyncio.gather(*tries, return_exceptions=True)
    await servers.were_asked(2)

    with pytest.raises(OSError, match="looked up"):
        await resolver.resolve("localhost")

    servers.answer.set()
    assert all(isinstance(one, OSError) for one in await silent)
    assert [one["host"] for one in await resolver.resolve("127.0.0.1", 80)] == ["127.0.0.1"]
