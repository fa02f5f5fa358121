"""Many jobs in one request: how many a second, and what others wait meanwhile.

One client sends batches of 10,000 NDJSON lines, as many as a batch may have, into a paused
queue, each behind the last one's answer; its bodies are made before. A rate is that of a whole
batch, from its first byte to the 202, which comes when all is on disk.

Then a second client asks `/livez` again and again while the first sends what is hardest to
take: a batch of 64 MiB, one whose every line is a nest of brackets, and one whose every line is
wrong. Counted is the longest that one answer took.
"""

import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

from harness import TWO_WORKERS, Row, Size, ask, daemon, order, spread

LINES = 10_000
BUDGET_JOBS = 60_000
BUDGET_MS = 50
_MOST_BYTES = 64 * 1024 * 1024
_QUEUE = "paused"
_KIND = "test.echo"


def _batch(line: bytes) -> bytes:
    return (line + b"\n") * LINES


def _line(**args: object) -> bytes:
    return json.dumps({"kind": _KIND, "queue": _QUEUE, "args": args}).encode()


def _send(path: str, body: bytes) -> tuple[int, bytes]:
    status, _, answer = ask(path, "POST", "/v1/batches", body, media_type="application/x-ndjson")
    return status, answer


def measured(size: Size) -> list[Row]:
    """Return both rows."""
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), **TWO_WORKERS) as (path, _),
    ):
        order(path, _QUEUE, "pause")
        return [_rate(path, size), _stall(path)]


def _rate(path: str, size: Size) -> Row:
    body = _batch(_line(n=1))
    rates = []
    for _ in range(size.rounds * 2):
        began_s = time.perf_counter()
        status, answer = _send(path, body)
        assert status == 202, answer
        rates.append(LINES / (time.perf_counter() - began_s))
    rate = statistics.median(rates)
    return Row(
        f"jobs of NDJSON batches of {LINES:,} lines, one client, queue paused",
        f"{rate:,.0f} jobs/s (best {max(rates):,.0f})",
        f"≥ {BUDGET_JOBS:,} jobs/s",
        met=rate >= BUDGET_JOBS,
        value=rate,
        spread=spread(rates),
    )


def _stall(path: str) -> Row:
    wide = _line(text="x" * (_MOST_BYTES // LINES - 100))
    deep = b'{"kind": "test.echo", "args": {"a": ' + b"[" * 6000 + b"]" * 6000 + b"}}"
    wrong = b'{"kind": "no.such", "args": {"n": 1}}'
    lines = {"64 MiB": wide, "nested": deep[: _MOST_BYTES // LINES - 1], "bad": wrong}
    waits = {name: _longest_ms(path, _batch(line)) for name, line in lines.items()}
    name = max(waits, key=lambda name: waits[name])
    return Row(
        "the longest that another request waits behind a 64 MiB, a nested or a bad batch",
        f"{waits[name]:.0f} ms ({name})",
        f"≤ {BUDGET_MS} ms",
        met=waits[name] <= BUDGET_MS,
        value=waits[name],
        less=True,
    )


def _longest_ms(path: str, body: bytes) -> float:
    sender = threading.Thread(target=_send, args=(path, body))
    longest_s = 0.0
    sender.start()
    while sender.is_alive():
        began_s = time.perf_counter()
        assert ask(path, "GET", "/livez")[0] == 200
        longest_s = max(longest_s, time.perf_counter() - began_s)
    sender.join()
    return longest_s * 1000
