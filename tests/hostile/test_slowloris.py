"""Clients that drip: a thousand of them, and the daemon still serves everybody else."""

import contextlib
import os
import re
import resource
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from jobd.client import Client, SubmitRequest
from tests.e2e.conftest import Daemon

CROWD = 1000
DEADLINE_S = 5.0
"""By when somebody who means well must have been answered."""

DROPPED_S = 15.0
"""By when whoever sends a header too slowly must be gone: it has ten seconds."""

MIB = 1024 * 1024
GROWTH_BYTES = 12 * MIB

HEADER = "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Drip: "
BODY = (
    "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    'Content-Length: 100000\r\n{authorization}\r\n{{"kind":"'
)
WAYS = {"headers": HEADER, "bodies": BODY}


class Target:
    """One listener of a daemon: how to get there, and what its process has."""

    def __init__(self, daemon: Daemon, way: str) -> None:
        self._daemon = daemon
        self._proc = Path(f"/proc/{daemon.pid}")
        ready = next(line for line in daemon.log if line.startswith("jobd is ready on "))
        port = re.search(r":(\d+)$", ready)
        assert port
        self._address: str | tuple[str, int] = daemon.socket
        self.client = partial(Client, daemon.socket)
        self.authorization = ""
        if way == "tcp":
            token = daemon.jobd("token", "create", "app").stdout.strip()
            self._address = ("127.0.0.1", int(port[1]))
            self.client = partial(Client, url=f"http://127.0.0.1:{port[1]}", token=token)
            self.authorization = f"Authorization: Bearer {token}\r\n"

    @property
    def descriptors(self) -> int:
        return len(list((self._proc / "fd").iterdir()))

    @property
    def memory_bytes(self) -> int:
        pages = int((self._proc / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @contextlib.contextmanager
    def crowd(self, beginning: str) -> Iterator[list[socket.socket]]:
        """Have a thousand connections that have each sent the beginning of a request."""
        start = beginning.format(authorization=self.authorization).encode()
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(self._connected()) for _ in range(CROWD)]
            for peer in peers:
                drip(peer, start)
            yield peers

    def _connected(self) -> socket.socket:
        if isinstance(self._address, tuple):
            return socket.create_connection(self._address, timeout=DROPPED_S)
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(DROPPED_S)
        peer.connect(self._address)
        return peer

    def serves(self) -> None:
        """Submit a job and see it done, over a new connection, in time."""
        began_s = time.monotonic()
        with self.client() as client:
            job = client.submit(SubmitRequest(kind="test.echo", args={})).value
            assert client.wait(job.job_id, timeout_s=DEADLINE_S).value.status == "completed"
        assert time.monotonic() - began_s < DEADLINE_S

    def settles(self, descriptors: int) -> bool:
        """Return whether it comes to have no more descriptors than that."""
        with self.client() as client:
            return any(client.status() and self.descriptors <= descriptors + 1 for _ in range(1000))


def drip(peer: socket.socket, data: bytes = b"x") -> None:
    with contextlib.suppress(ConnectionError):  # those that had to make room
        peer.sendall(data)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the shipped limits, which also listens over TCP."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    running = Daemon(tmp_path_factory.mktemp("slow"))
    listen = '[server]\nlisten = "127.0.0.1:0"\nlisten_without_tokens = true\n'
    running.config.write_text(running.config.read_text() + listen)
    try:
        running.start()
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * CROWD)), hard))
        yield running
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        running.close()


@pytest.fixture(params=["socket", "tcp"])
def target(request: pytest.FixtureRequest, daemon: Daemon) -> Target:
    """Each of the daemon's listeners."""
    return Target(daemon, request.param)


@pytest.mark.parametrize("way", WAYS)
def test_a_thousand_that_drip_leave_it_served_and_take_nothing(target: Target, way: str) -> None:
    target.serves()
    before = target.descriptors

    for once in (True, False):
        with target.crowd(WAYS[way]) as peers:
            for _ in range(3):
                for peer in peers:
                    drip(peer)
                target.serves()
        assert target.settles(before)
        if once:
            memory_bytes = target.memory_bytes

    assert target.memory_bytes - memory_bytes < GROWTH_BYTES


def test_a_header_that_never_ends_is_given_up(daemon: Daemon) -> None:
    began_s = time.monotonic()
    with (
        Target(daemon, "socket").crowd(HEADER) as some,
        Target(daemon, "tcp").crowd(HEADER) as more,
    ):
        for peer in (*some, *more):
            with contextlib.suppress(ConnectionError):
                assert peer.recv(1) == b""

    assert time.monotonic() - began_s < DROPPED_S
