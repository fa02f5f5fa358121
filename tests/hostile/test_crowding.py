"""Clients that take every connection and keep it: somebody else is let in all the same."""

import contextlib
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobd.client import Client, SubmitRequest
from tests.access.peers import connected, user
from tests.hostile.house import House
from tests.hostile.wire import dial

CROWD = 600
"""More than a listener takes."""
DEADLINE_S = 5.0
TOMORROW = datetime.now(UTC) + timedelta(days=1)
LATER = {"kind": "test.echo", "args": {}, "run_at": TOMORROW.isoformat()}
BODY = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
STEADY = b"Content-Type: application/json\r\n\r\n" + b" " * 60_000
"""Faster than what is slow, for longer than the deadline."""
UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
ATTACKER = 1002

Request = Callable[[int], bytes]


def bearer(token: str) -> bytes:
    return f"Authorization: Bearer {token}\r\n".encode()


def unknown_bodies(_house: House) -> Request:
    return lambda _: BODY + b"\r\n{"


def silent_sockets(_house: House) -> Request:
    return lambda _: UPGRADE


def steady_bodies(house: House) -> Request:
    token = house.ask("POST", "/v1/tokens", {"principal": "mean", "scopes": ["submit"]})["token"]
    return lambda _: BODY + bearer(token) + STEADY


def waits_by_job_tokens(house: House) -> Request:
    jobs = _jobs(house, 4)

    def one(number: int) -> bytes:
        job = jobs[number % len(jobs)]
        line = f"GET {job['poll_url']} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=30\r\n"
        return line.encode() + bearer(job["job_token"]) + b"\r\n"

    return one


def streams_by_job_tokens(house: House) -> Request:
    jobs = _jobs(house, 30)

    def one(number: int) -> bytes:
        job = jobs[number % len(jobs)]
        line = f"GET {job['events_url']} HTTP/1.1\r\nHost: localhost\r\n"
        return line.encode() + bearer(job["job_token"]) + b"\r\n"

    return one


def _jobs(house: House, count: int) -> list[dict[str, str]]:
    return [house.ask("POST", "/v1/jobs", LATER) for _ in range(count)]


WAYS = [
    unknown_bodies,
    silent_sockets,
    steady_bodies,
    waits_by_job_tokens,
    streams_by_job_tokens,
]


@contextlib.contextmanager
def crowd(connect: Callable[[], socket.socket], request: Request) -> Iterator[None]:
    """Have so many connections that have each sent a request."""
    with contextlib.ExitStack() as stack:
        for number in range(CROWD):
            peer = stack.enter_context(connect())
            peer.settimeout(DEADLINE_S)
            with contextlib.suppress(ConnectionError):
                peer.sendall(request(number))
        yield


def serves(client: Client) -> float:
    """Submit a job and see it done; return how long that took."""
    began_s = time.monotonic()
    with client:
        job = client.submit(SubmitRequest(kind="test.echo", args={})).value
        assert client.wait(job.job_id, timeout_s=DEADLINE_S).value.status == "completed"
    return time.monotonic() - began_s


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nobody_is_shut_out_over_tcp(house: House, way: Callable[[House], Request]) -> None:
    address = house.addresses["tcp"]
    url = "http://{}:{}".format(*address)

    with crowd(lambda: dial(address), way(house)):
        assert serves(Client(url=url, token=house.token)) < DEADLINE_S


@pytest.fixture
def shared() -> Iterator[House]:
    """A daemon whose socket every user of the machine can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        house = House(folder, server='socket_mode = "0666"\n')
        stack.callback(house.close)
        yield house


@pytest.mark.needs("root")
def test_a_user_with_all_connections_shuts_no_other_out(shared: House) -> None:
    path = shared.daemon.socket
    request = BODY + STEADY

    with user(path, ATTACKER, ATTACKER) as connect, crowd(connect, lambda _: request):
        assert serves(Client(path)) < DEADLINE_S
        with connected(path) as another:
            another.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = another.makefile("rb").read()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["accepting"]
