"""How fast webhooks are delivered, what one that hangs costs the others, what a million cost.

Jobs that are over and what waits to be told of them are put into the file; the endpoints are
paused. A daemon starts on it, and the clock runs from the call that has an endpoint go on to
the last request at its receiver: bodies are rendered and saved meanwhile, and what has ended
is recorded. The receiver is one process of its own, which reads little and answers at once;
with the daemon's two threads it has two cores, so what is measured is what is left of them.
"""

import asyncio
import contextlib
import os
import socket
import sqlite3
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self, cast

import uvloop

import backlog
from filled import fill
from harness import Row, Size, ask, daemon, spread
from jobd.clock import SystemClock
from jobd.domain.signing import new_secret
from jobd.store.database import Database
from jobd.store.deliveries import Deliveries

ALLOWED = {
    "JOBD_WEBHOOKS_ALLOW_HTTP": "true",
    "JOBD_WEBHOOKS_ALLOW_PRIVATE": "127.0.0.1/32",
    "JOBD_POOL_IO_WORKERS": "0",
}
OTHERS = 9
HANGS = "/hang"
PER_S = 2000
KEPT = 0.9
CLAIMED = 64
CLAIMS = 40
"""Claims of a round."""
LIMIT_S = 120.0
_PRINCIPAL = f"uid:{os.getuid()}"
_ENDPOINT = """
INSERT INTO webhook_endpoints (
  endpoint_id, principal, url, payload, enabled, paused, description, created_at, updated_at,
  version, secret
) VALUES (:endpoint_id, :principal, :url, 'notice', 1, 1, '', :now, :now, 1, :secret)
"""
_MESSAGES = """
INSERT INTO messages (message_id, seq, event_id, type, at)
SELECT printf('msg_%s_%032x', :endpoint_id, seq), seq, max(id), 'job.completed', :now
FROM events WHERE seq BETWEEN 1 AND :count GROUP BY seq
"""
_DELIVERIES = """
INSERT INTO deliveries (
  delivery_id, message_id, seq, principal, url, status, created_at, next_attempt_at, begun_at,
  receiver, endpoint_id
)
SELECT
  printf('dlv_%s_%032x', :endpoint_id, seq), printf('msg_%s_%032x', :endpoint_id, seq), seq,
  :principal, :url, 'pending', :now, :now, :now, :endpoint_id, :endpoint_id
FROM jobs WHERE seq BETWEEN 1 AND :count
"""
_WAITING = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO messages (message_id, seq, event_id, type, at, body)
SELECT printf('msg_%032x', i), 0, 0, 'webhook.test', :now, CAST('{}' AS BLOB) FROM n
"""
_WAITING_DELIVERIES = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO deliveries (
  delivery_id, message_id, seq, principal, url, status, created_at, next_attempt_at, begun_at,
  receiver, endpoint_id
)
SELECT
  printf('dlv_%032x', i), printf('msg_%032x', i), 0, :principal, 'https://r.example/', 'pending',
  :now, iif(i % 2, :now, :now + 7200000), :now,
  iif(i % 2, :endpoint_id, printf('https://r%d.example', i % 1000)),
  iif(i % 2, :endpoint_id, NULL)
FROM n
"""
"""Half of them are due at an endpoint that is paused, half in two hours at 500 others."""


class Receiver:
    """Reads requests in a thread of its own and answers them, but those of HANGS."""

    def __init__(self) -> None:
        self.came = Counter[str]()
        self.port = 0
        self._wanted: dict[str, int] = {}
        self._reached = threading.Event()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        made = self._loop.create_server(lambda: _Connection(self), sock=sock)
        self._loop.run_until_complete(made)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def expect(self, wanted: dict[str, int]) -> None:
        """Set what the next `wait` waits for: so many requests of each path."""
        self._reached.clear()
        self._wanted = wanted

    def wait(self) -> float:
        """Return the time at which all that was expected had come."""
        assert self._reached.wait(LIMIT_S), f"{dict(self.came)} of {self._wanted}"
        return time.perf_counter()

    def take(self, path: str) -> None:
        """Note a request."""
        self.came[path] += 1
        count = self.came[path]
        if self._wanted.get(path) == count and all(
            self.came[one] >= least for one, least in self._wanted.items()
        ):
            self._reached.set()


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        path = head.split(b" ", 2)[1].decode()
        self._receiver.take(path)
        if not path.startswith(HANGS):
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


@contextlib.contextmanager
def _written(file: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        yield connection
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _values(endpoint_id: str, url: str, count: int) -> dict[str, str | int]:
    return {
        "endpoint_id": endpoint_id,
        "url": url,
        "principal": _PRINCIPAL,
        "secret": new_secret(),
        "now": time.time_ns() // 1_000_000,
        "count": count,
    }


def endpoint(connection: sqlite3.Connection, url: str, count: int) -> str:
    """Register a paused endpoint, and have it be told of so many jobs; return its id."""
    ((known,),) = connection.execute("SELECT count(*) FROM webhook_endpoints").fetchall()
    endpoint_id = f"whe_{known:032x}"
    values = _values(endpoint_id, url, count)
    for statement in (_ENDPOINT, _MESSAGES, _DELIVERIES):
        connection.execute(statement, values)
    return endpoint_id


def go_on(path: str, endpoints: Sequence[str]) -> None:
    """Have endpoints be paused no more."""
    for endpoint_id in endpoints:
        url = f"/v1/webhook-endpoints/{endpoint_id}"
        status, _, answer = ask(path, "PATCH", url, b'{"paused": false}')
        assert status == 200, answer


def to_one(size: Size) -> Row:
    """Deliver to one receiver, round after round."""
    count, per_s = size.requests // 2, []
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch, Receiver() as receiver:
        file = Path(scratch, "state", "jobd.db")
        fill(file, finished=count, principal=_PRINCIPAL)
        paths = [f"/{n}" for n in range(size.rounds)]
        with _written(file) as connection:
            url = f"http://127.0.0.1:{receiver.port}"
            ids = [endpoint(connection, url + path, count) for path in paths]
        with daemon(Path(scratch), **ALLOWED) as (path, _):
            for one, endpoint_id in zip(paths, ids, strict=True):
                receiver.expect({one: count})
                began_s = time.perf_counter()
                go_on(path, [endpoint_id])
                per_s.append(count / (receiver.wait() - began_s))
    speed = statistics.median(per_s)
    return Row(
        f"{count:,} webhooks to one fast receiver",
        f"{speed:,.0f} deliveries/s (best {max(per_s):,.0f})",
        f"≥ {PER_S:,} deliveries/s",
        met=speed >= PER_S,
        value=speed,
        spread=spread(per_s),
    )


def beside_one_that_hangs(size: Size) -> Row:
    """Deliver to nine receivers, alone and beside a tenth that takes requests and says nothing."""
    each = size.requests // 2 // OTHERS
    alone, beside = [], []
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch, Receiver() as receiver:
        file = Path(scratch, "state", "jobd.db")
        fill(file, finished=each, principal=_PRINCIPAL)
        url = f"http://127.0.0.1:{receiver.port}"
        known: dict[str, str] = {}
        with _written(file) as connection:
            for n in range(size.rounds):
                for path in [*_nine("alone", n), *_nine("beside", n), f"{HANGS}/{n}"]:
                    known[path] = endpoint(connection, url + path, each)
        with daemon(Path(scratch), **ALLOWED) as (path, _):
            for n in range(size.rounds):
                alone.append(_nine_per_s(path, receiver, known, _nine("alone", n), each))
                receiver.expect({f"{HANGS}/{n}": 1})
                go_on(path, [known[f"{HANGS}/{n}"]])
                receiver.wait()
                beside.append(_nine_per_s(path, receiver, known, _nine("beside", n), each))
    ratios = [one / other for one, other in zip(beside, alone, strict=True)]
    ratio = statistics.median(ratios)
    figures = (
        f"{ratio:.2f} ({statistics.median(beside):,.0f}/s of {statistics.median(alone):,.0f}/s)"
    )
    what = f"{OTHERS} receivers beside one that hangs, of their rate alone"
    return Row(what, figures, f"≥ {KEPT}", met=ratio >= KEPT, value=ratio, spread=spread(ratios))


def _nine(what: str, n: int) -> list[str]:
    return [f"/{what}/{n}/{one}" for one in range(OTHERS)]


def _nine_per_s(
    path: str, receiver: Receiver, known: dict[str, str], paths: Sequence[str], each: int
) -> float:
    receiver.expect(dict.fromkeys(paths, each))
    began_s = time.perf_counter()
    go_on(path, [known[one] for one in paths])
    return len(paths) * each / (receiver.wait() - began_s)


def _waiting(file: Path, count: int) -> str:
    """Make a file with so many deliveries that wait; return the endpoint that has half of them."""
    fill(file, finished=CLAIMED, principal=_PRINCIPAL)
    with _written(file) as connection:
        paused = endpoint(connection, "https://r.example/", CLAIMED)
        if count:
            for statement in (_WAITING, _WAITING_DELIVERIES):
                connection.execute(statement, _values(paused, "", count))
    return paused


def idle(size: Size) -> Row:
    """What a daemon does beside a million deliveries that wait."""
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        _waiting(Path(scratch, "state", "jobd.db"), size.rows)
        with daemon(Path(scratch)) as (path, pid):
            ask(path, "GET", "/v1/status")
            backlog.wait_until_quiet(pid)
            calls = backlog.calls(pid, backlog.IDLE_S)
    what = f"idle, {size.rows:,} webhooks wait: statements in {backlog.IDLE_S} s"
    return Row(what, str(calls), "0", met=calls == 0, value=calls, less=True)


def claim(size: Size) -> Row:
    """Claim what is due at one receiver, beside a million that wait and beside none."""
    few_ms, many_ms, ratios = [], [], []
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        few, many = Path(scratch, "few.db"), Path(scratch, "many.db")
        paused = _waiting(few, 0)
        assert _waiting(many, size.rows) == paused
        for _ in range(size.rounds):
            few_ms.append(asyncio.run(_claimed_ms(few, paused)))
            many_ms.append(asyncio.run(_claimed_ms(many, paused)))
            ratios.append(few_ms[-1] / many_ms[-1])
    ratio = statistics.median(ratios)
    figures = (
        f"{ratio:.2f} ({statistics.median(many_ms):.2f} ms of {statistics.median(few_ms):.2f} ms)"
    )
    what = f"a claim of {CLAIMED} webhooks among {size.rows:,} that wait, its speed among {CLAIMED}"
    return Row(what, figures, "≥ 0.8", met=ratio >= 0.8, value=ratio, spread=spread(ratios))


async def _claimed_ms(file: Path, receiver: str) -> float:
    database = await Database.open(file)
    deliveries = Deliveries(database, SystemClock())
    took_ms = []
    for _ in range(CLAIMS):
        began_s = time.perf_counter()
        due = await deliveries.due(receiver, CLAIMED, ())
        took_ms.append((time.perf_counter() - began_s) * 1000)
        assert len(due) == CLAIMED
    await database.close()
    return statistics.median(took_ms)


def measured(size: Size) -> list[Row]:
    """Return all rows about webhooks."""
    return [to_one(size), beside_one_that_hangs(size), idle(size), claim(size)]
