"""What must not grow the daemon: a large upload."""

import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Daemon

UPLOAD_MB = 300
GROWTH_MB = 30


def peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def megabytes(count: int) -> Iterator[bytes]:
    """Yield that many MiB, no two the same."""
    block = os.urandom(1 << 20)
    for n in range(count):
        yield n.to_bytes(8) + block[8:]


@pytest.mark.timeout(120)
def test_a_large_upload_does_not_grow_the_daemon(daemon: Daemon) -> None:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(daemon.socket)
    # 5 resets the peak (proc(5)), which else is that of the imports at the start
    Path(f"/proc/{daemon.pid}/clear_refs").write_text("5")
    before_mb = peak_mb(daemon.pid)

    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(UPLOAD_MB << 20),
    }
    connection.request("POST", "/v1/uploads", megabytes(UPLOAD_MB), headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()

    assert response.status == 201, answer
    assert peak_mb(daemon.pid) - before_mb < GROWTH_MB
