"""Requests that are nearly right: those of the corpus and some good ones, broken by a seed.

Not here: sending them (fuzz.py).
"""

import random
from collections.abc import Callable

from tests.hostile.cases import Case

LONGEST_BASE_BYTES = 4096

_GOOD = """\
GET /v1/jobs?status=queued&kind=test.echo&page_size=5&created_after=2026-01-01T00:00:00Z
GET /v1/jobs?idempotency_key=a&queue=default&page_token=AAAAAAAAAAAAAAAAAAAAAA
GET /v1/jobs/job_01890a5d000070008000000000000000
GET /v1/jobs/job_01890a5d000070008000000000000000/events?timeout=1&last_event_id=1
GET /v1/jobs/job_01890a5d000070008000000000000000/logs?tail=3&attempt=1&follow=1
HEAD /v1/jobs/job_01890a5d000070008000000000000000/artifacts/a.txt
POST /v1/jobs/job_01890a5d000070008000000000000000/cancel
GET /v1/batches?page_size=2
GET /v1/batches/bat_01890a5d000070008000000000000000
HEAD /v1/uploads/file_0000000000000000000000000000000000000000000000000000000000000000
GET /v1/queues
GET /v1/workers
GET /v1/tokens
GET /v1/status
GET /v1/events?timeout=1&kind=test.echo
GET /readyz
POST /v1/jobs {"kind":"test.echo","args":{"a":[1,2.5,"x",null]},"metadata":{"a":"b"},"priority":1}
POST /v1/jobs {"kind":"test.echo","run_at":"2999-01-01T00:00:00+02:00","timeout_seconds":1.5}
POST /v1/jobs {"kind":"test.echo","callback_url":"https://a.example/x","callback_events":["job.failed"]}
POST /v1/batches {"jobs":[{"kind":"test.echo"},{"kind":"test.echo","idempotency_key":"k"}]}
PATCH /v1/queues/other {"concurrency":2,"paused":false}
POST /v1/webhook-endpoints/default/rotate-secret {"overlap_seconds":60}
POST /v1/tokens {"principal":"web","scopes":["read"],"description":"d","expires_in_seconds":60}
POST /v1/uploads {"any":"bytes"}
"""

_HEADERS = (
    "Prefer: wait=1; until=done, respond-async",
    "Accept: text/event-stream;q=0.5, application/json",
    'If-None-Match: W/"17", "x"',
    "Idempotency-Key: abc",
    "Range: bytes=0-4",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Content-Digest: sha-256=:AAAA:",
    "Last-Event-ID: 5",
    "Expect: 100-continue",
    "X-Request-Id: a",
    "Origin: http://localhost",
)

_WORDS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b":",
    b" ",
    b"\t",
    b"\xff",
    b"%00",
    b"%",
    b'"',
    b"{",
    b"[",
    b"\\u0000",
    b"\\ud800",
    b"0",
    b"-1",
    b"9223372036854775808",
    b"1e400",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Host: other\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.1",
    b"/../",
    b"?",
    b"&",
    b"=",
    b"{}" * 200,
    b"a" * 5000,
)

_Change = Callable[[random.Random, bytearray, list[bytes]], None]


def bases(cases: list[Case], auth: str) -> list[bytes]:
    """Return what is broken: the short ones of the corpus, and requests that are good."""
    short = [sent for case in cases if len(sent := case.sent(auth)) <= LONGEST_BASE_BYTES]
    return short + [_good(line, auth, extra) for line in _GOOD.splitlines() for extra in _HEADERS]


def _good(line: str, auth: str, extra: str) -> bytes:
    method, path, *rest = line.split(" ", 2)
    body = "".join(rest)
    typed = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{auth}{extra}\r\n{typed}\r\n"
    return head.encode() + body.encode()


def broken(dice: random.Random, bases: list[bytes]) -> list[bytes]:
    """Return a request with a few changes, in pieces as they are sent."""
    data = bytearray(dice.choice(bases))
    for _ in range(dice.choice((0, 1, 1, 2, 3, 8))):
        dice.choice(_CHANGES)(dice, data, bases)
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice((0, 0, 0, 1, 4))))
    return [
        bytes(data[begin:end]) for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)
    ]


def _span(dice: random.Random, data: bytearray) -> slice:
    begin = dice.randrange(len(data) + 1)
    return slice(begin, begin + dice.choice((1, 2, 4, 16, 64)))


def _flip(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _insert(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    at = dice.randrange(len(data) + 1)
    data[at:at] = dice.choice(_WORDS)


def _overwrite(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    data[_span(dice, data)] = dice.choice(_WORDS)


def _delete(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    del data[_span(dice, data)]


def _double(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    span = _span(dice, data)
    data[span] = data[span] * dice.choice((2, 3, 50))


def _cut(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    del data[dice.randrange(len(data) + 1) :]


def _splice(dice: random.Random, data: bytearray, bases: list[bytes]) -> None:
    other = dice.choice(bases)
    data[dice.randrange(len(data) + 1) :] = other[dice.randrange(len(other) + 1) :]


def _follow(dice: random.Random, data: bytearray, bases: list[bytes]) -> None:
    data += dice.choice(bases)


def _shuffle_lines(dice: random.Random, data: bytearray, _: list[bytes]) -> None:
    lines = bytes(data).split(b"\r\n")
    dice.shuffle(lines)
    data[:] = b"\r\n".join(lines)


_CHANGES: tuple[_Change, ...] = (
    _flip,
    _insert,
    _insert,
    _overwrite,
    _delete,
    _double,
    _cut,
    _splice,
    _follow,
    _shuffle_lines,
)
