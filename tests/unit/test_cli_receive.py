"""`jobd webhooks listen` and `verify`: what a receiver's author tries first."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from jobd.cli.main import run
from jobd.domain.signing import sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - nobody's
BODY = b'{"type":"job.completed","timestamp":"2026-01-01T00:00:00Z","data":{"job_id":"job_1"}}'

Capture = pytest.CaptureFixture[str]
Headers = dict[str, str]


def signed(body: bytes = BODY, message_id: str = "msg_1", at_s: float | None = None) -> Headers:
    timestamp_s = int(time.time() if at_s is None else at_s)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign([SECRET], message_id, timestamp_s, body),
        "jobd-attempt": "2",
    }


def verify(tmp_path: Path, headers: Headers, *options: str) -> int:
    (tmp_path / "body").write_bytes(BODY)
    named = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    return run(["webhooks", "verify", str(tmp_path / "body"), *named, *options], {})


class Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


@contextmanager
def listening(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Listen in a process of its own until it ends by itself."""
    command = [sys.executable, "-m", "jobd", "webhooks", "listen", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> list[str]:
    """Return what it says before it listens: where, and how to get there."""
    assert process.stderr is not None
    lines: list[str] = []
    while "allow_" not in "".join(lines[-1:]):
        lines.append(process.stderr.readline())
        assert lines[-1], "it has ended"
    if "allow_http" in lines[-1]:
        lines.append(process.stderr.readline())
    return lines


def post(connection: http.client.HTTPConnection, headers: Headers, body: bytes = BODY) -> int:
    connection.request("POST", "/", body, headers)
    response = connection.getresponse()
    response.read()
    return response.status


def test_a_genuine_message_is_called_so(tmp_path: Path, capsys: Capture) -> None:
    Webhook(SECRET).verify(BODY, signed())  # the reference library agrees

    assert verify(tmp_path, signed(), "--secret", SECRET) == 0
    assert capsys.readouterr().out == "msg_1: genuine\n"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: signed(b"{}"), "no signature matches"),
        (lambda: signed(at_s=1_767_225_600), "more than 300 s away"),
        (lambda: {"webhook-id": "msg_1"}, "webhook-timestamp is missing"),
    ],
)
def test_what_is_not_genuine_is_told_why(
    tmp_path: Path, capsys: Capture, make: Callable[[], Headers], why: str
) -> None:
    assert verify(tmp_path, make(), "--secret", SECRET) == 1
    assert why in capsys.readouterr().err


def test_a_message_of_a_log_may_be_old(tmp_path: Path) -> None:
    old = signed(at_s=1_767_225_600)

    assert verify(tmp_path, old, "--secret", SECRET, "--tolerance", "1e12") == 0


@pytest.mark.parametrize("options", [[], ["--secret", "x"], ["--secret", SECRET, "-H", "x"]])
def test_verify_needs_a_secret_and_headers(tmp_path: Path, options: list[str]) -> None:
    assert verify(tmp_path, signed(), *options) == 2


def test_listen_checks_answers_and_prints() -> None:
    with listening("--port", "0", "--secret", SECRET, "--count", "4") as process:
        lines = told(process)
        url = lines[0].split()[-1]
        port = int(url.split(":")[2].strip("/"))
        forged = {**signed(), "webhook-id": "msg_\x1b"}
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            statuses = [
                post(connection, signed()),
                post(connection, signed()),
                post(connection, forged),
                post(connection, signed(b"\xff", "msg_2"), b"\xff"),
            ]
        out = [line.split("  ")[1:] for line in process.stdout or ()]

    assert statuses == [204, 204, 400, 204]
    assert out[0] == ["204", "genuine", "job.completed", "msg_1", "attempt 2", "job_1\n"]
    assert out[1][1] == "seen before"
    assert out[2][:2] == ["400", "not genuine: no signature matches"]
    assert r"msg_\x1b" in out[2]
    assert out[3] == ["204", "genuine", "msg_2", "attempt 2\n"]
    assert f"jobd webhooks add {url} --secret-file FILE" in "".join(lines)
    assert 'allow_private = ["127.0.0.1/32"]' in "".join(lines)


def test_listen_on_a_socket_answers_as_it_is_told_and_prints_json(tmp_path: Path) -> None:
    path = tmp_path / "hooks.sock"
    abandoned = socket.socket(socket.AF_UNIX)
    abandoned.bind(str(path))
    abandoned.close()
    options = ("--unix", str(path), "--status", "503", "--count", "1", "-o", "json")

    with listening(*options) as process:
        lines = told(process)
        secret = next(line.split()[-1] for line in lines if "--secret" in line)
        timestamp_s = int(time.time())
        signature = sign([secret], "msg_1", timestamp_s, BODY)
        headers = {**signed(at_s=timestamp_s), "webhook-signature": signature}
        with closing(Unix(str(path))) as connection:
            status = post(connection, headers)
        document = msgspec.json.decode(process.communicate(timeout=10)[0])

    assert status == 503
    assert f'allow_unix = ["{path}"]' in "".join(lines)
    assert document["genuine"] is True
    assert document["body"]["data"] == {"job_id": "job_1"}
    assert (document["message_id"], document["status_code"]) == ("msg_1", 503)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["file", "in use"])
def test_a_place_that_is_taken_stays_as_it_is(tmp_path: Path, capsys: Capture, kind: str) -> None:
    path = tmp_path / "taken"
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "file":
            path.write_text("mine")
        else:
            other.bind(str(path))
            other.listen()

        assert run(["webhooks", "listen", "--unix", str(path)], {}) == 1
    assert "cannot listen" in capsys.readouterr().err
    assert path.exists()


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Transfer-Encoding": "chunked"}, 411), ({"Content-Length": str(1 << 40)}, 413)],
)
def test_a_body_without_bounds_is_not_read(
    headers: dict[str, str], status: int, listener: Callable[[], Any]
) -> None:
    connection = listener()
    connection.putrequest("POST", "/")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()

    assert connection.getresponse().status == status


@pytest.fixture
def listener() -> Iterator[Callable[[], http.client.HTTPConnection]]:
    from jobd.cli.listener import Listener  # noqa: PLC0415 - as the command imports it

    with Listener(0, SECRET) as listening:
        port = int(listening.url.split(":")[2].strip("/"))
        connection = http.client.HTTPConnection("127.0.0.1", port)
        yield lambda: connection
        connection.close()
