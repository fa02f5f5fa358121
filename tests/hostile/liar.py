"""A worker that lies: takes jobs as a real one, and says of each what the seed in its args wants.

It is started by a real pool in place of jobd's own worker. Behind the lies it tells the truth,
that the job has completed, if it is still there.
"""

import os
import random
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from jobd.pool.child_setup import settle_in
from jobd.pool.protocol import LENGTH, Job

_pack = msgspec.msgpack.encode

_DEEP: list[Any] = []
for _ in range(2000):
    _DEEP = [_DEEP]

_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
    float("nan"),
    float("inf"),
    -float("inf"),
    1e308,
    "",
    "\0",
    "../../jobd.db",
    "completed",
    "x" * 1_000_000,
    b"\xff\xfe",
    b"{",
    b'{"a":NaN}',
    [],
    {},
    {"": {"": [None]}},
    {1: 2},
    [[1, 2, 3]] * 1000,
    datetime(1, 1, 1, tzinfo=UTC),
    msgspec.msgpack.Ext(5, b"x"),
    _DEEP,
)

_TRACE = "Traceback\n"


def _ended(dice: random.Random) -> list[Any]:
    """Return the fields of an end (sdk/outcome.py) that could be, but for what is changed then."""
    left = ["a.txt", "/a.txt", "text/plain", 3, "0" * 64]
    ends: list[list[Any]] = [
        [
            "completed",
            b'{"a":1}',
            None,
            [3, 2, 1],
            None,
            None,
            None,
            [left],
            [["s", 1.0, 2.0]],
            0.1,
        ],
        ["completed", None, "a.txt", None, None, None, None, [left], [], 0.1],
        ["failed", None, None, None, ["code", "message", True, "s", {"a": 1}, _TRACE], 1.0, None],
        ["snoozed", None, None, None, None, None, 1.0, [], [], 0.1],
        ["cancelled"],
    ]
    return dice.choice(ends)


def _frame(dice: random.Random, token: str) -> list[Any]:
    """Return a frame as the protocol has it."""
    frames: list[list[Any]] = [
        ["progress", token, 50.0, 1, 2, "step", 1, 2, "message"],
        ["heartbeat", token],
        ["setting_up", token],
        ["set_up", token],
        ["checkpoint", token, 1, b"{}"],
        ["finished", token, _ended(dice), "jobd-test 1.0", {"cpu_seconds": 0.1}, True, False, True],
        ["ready"],
        ["importing", "test.echo", "d", "t"],
        ["not_loaded", "test.echo", "d", "t", "message"],
        ["catalog_done"],
        ["job", token],
    ]
    return dice.choice(frames)


def _changed(dice: random.Random, frame: list[Any]) -> list[Any]:
    """Return a frame of which some field, perhaps of one within it, is something else."""
    inner = [at for at, value in enumerate(frame) if isinstance(value, list) and value]
    changed = list(frame)
    if inner and dice.random() < 0.7:
        at = dice.choice(inner)
        changed[at] = _changed(dice, changed[at])
    else:
        changed[dice.randrange(len(changed))] = dice.choice(_VALUES)
    return changed


_OFTEN_S = 0.05
_NAN, _INF, _HUGE = float("nan"), float("inf"), 2**64 - 1


def _plain_lies(token: str) -> list[list[Any]]:
    """Return frames that can be read and must not be believed."""

    def finished(*ended: Any, usage: Any = None) -> list[Any]:
        return ["finished", token, list(ended), "h 1", usage or {}, True, False, False]

    def failed(*error: Any, in_s: Any = None) -> list[Any]:
        return finished("failed", None, None, None, list(error), in_s)

    def completed(body: bytes | None, *more: Any, usage: Any = None) -> list[Any]:
        return finished("completed", body, *more, usage=usage)

    def artifact(name: str, size: Any, kind: str = "a/b", sha256: str = "0" * 64) -> list[Any]:
        left = [name, "/x", kind, size, sha256]
        return completed(b"1", None, None, None, None, None, [left])

    return [
        ["progress", token, _NAN],
        ["progress", token, _INF],
        ["progress", token, -5.0],
        ["progress", token, 1e308],
        ["progress", token, 1.0, _HUGE, _HUGE],
        ["progress", token, 1.0, -1, -1],
        ["progress", token, 1.0, 1, 1, "s", _HUGE, _HUGE, "m"],
        ["progress", token, 1.0, 1, 1, "\0", 1, 1, "\0"],
        ["progress", token, 1.0, 1, 1, "s" * 1_000_000, 1, 1, "m" * 1_000_000],
        completed(b"{"),
        completed(b""),
        completed(b"\xff"),
        completed(b"NaN"),
        completed(b"1" + b"0" * 5000),
        completed(b"[" * 5000 + b"]" * 5000),
        completed(b'"' + b"x" * 10_000_000 + b'"'),
        completed(b"1", None, [_HUGE, -5, 0]),
        completed(b"1", None, None, None, None, None, [], [["s", _NAN, _NAN]]),
        completed(b"1", None, None, None, None, None, [], [["s", _INF, _INF]]),
        completed(b"1", None, None, None, None, None, [], [["s", 1e300, 1e300]]),
        completed(b"1", None, None, None, None, None, [], [["s\0", 1.0, 1.0]] * 20_000),
        completed(b"1", None, None, None, None, None, [], [], _NAN),
        completed(b"1", usage={"cpu_seconds": _NAN, "peak_rss_bytes": _HUGE}),
        completed(b"1", usage={"peak_rss_bytes": msgspec.msgpack.Ext(5, b"x")}),
        completed(b"1", usage={"worker_cpu_seconds": "x", "outcome": "x", "\0": "x"}),
        artifact("a", _HUGE),
        artifact("a", -1),
        artifact("a\0b", 1),
        artifact("a" * 100_000, 1),
        artifact("a\r\nX: y", 1, "text/plain\r\nX: y"),
        artifact("a", 1, sha256="x"),
        completed(None, "b"),
        completed(b"1", "a"),
        failed("c", "m", True, None, {"a": msgspec.msgpack.Ext(5, b"x")}),
        failed("c", "m", True, None, {"a": {1: 2}}),
        failed("c", "m", True, None, {"a": {None: 2, b"x": 3}}),
        failed("c", "m", True, None, {"a": _DEEP}),
        failed("c", "m", True, None, {"a": _NAN}),
        failed("", "\0", True, "\0"),
        failed("C" * 1_000_000, "m" * 1_000_000, True, "s" * 1_000_000, {}, "t" * 1_000_000),
        failed("handler_unavailable", "m", True),
        failed("c", "m", True, in_s=_NAN),
        failed("c", "m", True, in_s=_INF),
        failed("c", "m", True, in_s=1e308),
        failed("c", "m", True, in_s=-1.0),
        finished("snoozed", None, None, None, None, None, _NAN),
        finished("snoozed", None, None, None, None, None, _INF),
        finished("snoozed", None, None, None, None, None, 1e308),
        finished("snoozed", None, None, None, None, None, -_INF),
        finished("snoozed"),
        finished("failed"),
        finished("cancelled"),
        ["checkpoint", token, _HUGE, b""],
        ["checkpoint", token, -1, b"\xff"],
        ["checkpoint", token, 1, b"x" * 10_000_000],
        ["checkpoint", "another", 1, b"x"],
        ["finished", "another", ["completed"]],
        ["setting_up", token],
        ["not_loaded", "test.echo", "d", "t", "m"],
    ]


def lies(seed: int, token: str) -> Iterator[bytes]:
    """Yield what is sent of one job before the truth: the plain lies first, then any."""
    plain = _plain_lies(token)
    if seed < len(plain):
        body = bytearray(_pack(plain[seed]))
        yield LENGTH.pack(len(body)) + body
        return
    dice = random.Random(seed)  # noqa: S311 - it only has to be repeatable
    for _ in range(dice.choice((1, 1, 2, 5))):
        frame = _frame(dice, token)
        how = dice.random()
        if how < 0.6:
            frame = _changed(dice, frame)
        body = bytearray(_pack(frame))
        if 0.6 <= how < 0.7:
            body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
        elif 0.7 <= how < 0.75:
            del body[dice.randrange(len(body)) :]
        length = len(body)
        if 0.75 <= how < 0.8:
            length = dice.choice((0, 1, length + 1, 2**24 + 1, 2**32 - 1))
        yield LENGTH.pack(length) + body * dice.choice((1, 1, 1, 2 if how < 0.1 else 1))


def truth(token: str) -> bytes:
    """Return the frame that says that a job has completed."""
    body = _pack(["finished", token, ["completed", b"1"], "jobd-test 1.0", {}, True, False, False])
    return LENGTH.pack(len(body)) + body


def main(arguments: list[str]) -> None:
    """Lie until there are no more jobs."""
    daemon_pid, stream_fd, jobs_fd, _marker = map(int, arguments)
    settle_in(daemon_pid)
    stream, jobs = socket.socket(fileno=stream_fd), socket.socket(fileno=jobs_fd)
    ready = _pack(["ready"])
    stream.sendall(LENGTH.pack(len(ready)) + ready)
    while message := jobs.recv(1 << 20):
        job = msgspec.msgpack.decode(message, type=Job)
        args = msgspec.json.decode(job.args)
        while args.get("never_ends"):
            for name in ("setting_up", "set_up"):
                body = _pack([name, job.token])
                stream.sendall(LENGTH.pack(len(body)) + body)
            threading.Event().wait(_OFTEN_S)
        for lie in lies(args["seed"], job.token):
            stream.sendall(lie)
        stream.sendall(truth(job.token))
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
