"""sd_notify: what arrives at the manager's socket, and that a stuck writer starves the watchdog."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.systemd import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "n"))
        sock.setblocking(False)
        yield sock


def environ(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def test_ready_and_stopping_are_said(manager: socket.socket) -> None:
    notifier = Notifier(environ(manager))

    notifier.ready("serving")
    notifier.stopping("draining")

    assert manager.recv(100) == b"READY=1\nSTATUS=serving"
    assert manager.recv(100) == b"STOPPING=1\nSTATUS=draining"


def test_an_abstract_address_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0jobd-test-notify")

        Notifier({"NOTIFY_SOCKET": "@jobd-test-notify"}).ready("x")

        assert manager.recv(100).startswith(b"READY=1")


def test_without_a_manager_nothing_happens() -> None:
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": "/nowhere"}).ready("x")


async def test_the_watchdog_is_fed_while_the_rest_is_alive(manager: socket.socket) -> None:
    notifier = Notifier(environ(manager, WATCHDOG_USEC="30000"))

    async def alive() -> None:
        pass

    task = asyncio.create_task(notifier.feed_watchdog(alive))
    seen = [await asyncio.get_running_loop().sock_recv(manager, 100) for _ in range(2)]
    task.cancel()

    assert seen == [b"WATCHDOG=1"] * 2


async def test_a_stuck_writer_starves_the_watchdog(manager: socket.socket) -> None:
    notifier = Notifier(environ(manager, WATCHDOG_USEC="3000"))
    asked = asyncio.Event()

    async def stuck() -> None:
        asked.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(notifier.feed_watchdog(stuck))
    await asked.wait()
    task.cancel()

    with pytest.raises(BlockingIOError):
        manager.recv(100)


async def test_another_process_watchdog_is_not_fed(manager: socket.socket) -> None:
    notifier = Notifier(environ(manager, WATCHDOG_USEC="3000", WATCHDOG_PID="1"))

    await notifier.feed_watchdog(lambda: asyncio.get_running_loop().create_future())

    assert notifier.watchdog_s == 0
