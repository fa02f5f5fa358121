"""Measure what a large upload costs the daemon's memory."""

import http.client
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness import Row, daemon

BUDGET_MB = 30


def peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def megabytes(count: int) -> Iterator[bytes]:
    """Yield that many MiB, no two the same."""
    block = os.urandom(1 << 20)
    for n in range(count):
        yield n.to_bytes(8) + block[8:]


def growth(size_mb: int) -> Row:
    """Upload a file of `size_mb`; the peak of the daemon's memory is reset before."""
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch)) as (path, pid),
    ):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        before_mb = peak_mb(pid)
        began_s = time.perf_counter()
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(path)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size_mb << 20),
        }
        connection.request("POST", "/v1/uploads", megabytes(size_mb), headers)
        response = connection.getresponse()
        assert response.status == 201, response.read()
        took_s = time.perf_counter() - began_s
        connection.close()
        grown_mb = peak_mb(pid) - before_mb
    figures = f"{grown_mb:.0f} MB, at {size_mb / took_s:,.0f} MB/s, fsynced"
    return Row(
        f"memory for an upload of {size_mb:,} MB",
        figures,
        "< 30 MB",
        grown_mb < BUDGET_MB,
        value=max(grown_mb, 1.0),
        spread=1.0,
        less=True,
    )
