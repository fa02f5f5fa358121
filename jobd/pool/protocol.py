"""What the daemon and a worker say to each other, and how it is framed.

Two socket pairs per worker. Jobs go down a SOCK_SEQPACKET pair, one msgpack `Job` a
message: whoever receives a message owns the job, so the worker's recv *is* "started" and
the daemon's recv of the same message (it keeps a duplicate of the worker's end) *is* the
call-back. The end of that stream tells the worker to leave as soon as no job runs.
Everything else goes over a stream pair: 4 bytes of length, big endian, then msgpack, at
most MAX_FRAME_BYTES. What jobs write comes through the worker's stdout and stderr (inband.py).

Not here: who sends what when (worker.py for the daemon, child_cpu.py and child_io.py for
the worker).
"""

import struct
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from jobd.domain.catalog import HandlerSpec, Lane
from jobd.sdk.outcome import Ended

MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_JOB_MESSAGE_BYTES = 64 * 1024
"""A larger job goes through a file that the message names; see `JobFile`."""

_ENCODE = msgspec.msgpack.Encoder().encode

LENGTH = struct.Struct(">I")

_Integer = Annotated[int, Meta(le=2**63 - 1)]
"""What a column of the database takes; msgpack knows larger ones."""


class Job(msgspec.Struct, frozen=True, array_like=True, tag="job"):
    """One job handed to a worker."""

    token: str
    number: int
    """From 1, in the order in which this worker was handed its jobs."""
    job_id: str
    kind: str
    attempt: int
    max_attempts: int
    timeout_s: float
    args: bytes
    metadata: dict[str, str]
    traceparent: str | None
    restored: bytes | None
    scratch_dir: str
    """Made by the worker on first use, removed by the daemon after the attempt."""
    artifacts_dir: str
    """Made by the worker on first use."""


class JobFile(msgspec.Struct, frozen=True, array_like=True, tag="job_file"):
    """One job handed to a worker that is too long for a message: a file holds the `Job`."""

    token: str
    path: str


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """Daemon to worker, first frame: who the worker is and what it may do."""

    lane: Lane
    allow_paths: tuple[str, ...]
    inline_result_bytes: int
    """A longer JSON result is written to a file in the artifacts folder instead."""
    result_bytes: int
    artifact_bytes: int
    uploads_dir: str
    log_level: str
    mark: bytes
    """Begins each sign between what jobs write; see inband.py."""
    config: dict[str, Any] = {}
    """The tables of `[plugins]`, by distribution."""


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """Daemon to worker: end this attempt if you still run it."""

    token: str


class Checkpointed(msgspec.Struct, frozen=True, array_like=True, tag="checkpointed"):
    """Daemon to worker: the checkpoint is durable, or (lost) the lease is gone."""

    token: str
    number: int
    lost: bool = False


class Tables(msgspec.Struct, frozen=True, array_like=True, tag="tables"):
    """Daemon to catalogue child, its only frame: the tables of `[plugins]`, by distribution."""

    config: dict[str, Any]


Down = Hello | Cancel | Checkpointed | Tables


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """Worker to daemon: send jobs."""


class Importing(msgspec.Struct, frozen=True, array_like=True, tag="importing"):
    """Catalogue child to daemon: about to import this kind, so that a death names it."""

    kind: str
    distribution: str
    target: str


class Loaded(msgspec.Struct, frozen=True, array_like=True, tag="loaded"):
    """Catalogue child to daemon: this kind can run."""

    spec: HandlerSpec


class NotLoaded(msgspec.Struct, frozen=True, array_like=True, tag="not_loaded"):
    """Catalogue child to daemon: this kind cannot run, and why."""

    kind: str
    distribution: str
    target: str
    message: str


class CatalogDone(msgspec.Struct, frozen=True, array_like=True, tag="catalog_done"):
    """Catalogue child to daemon: nothing more to come."""


class Progress(msgspec.Struct, frozen=True, array_like=True, tag="progress"):
    """Worker to daemon: how far the attempt is; None means unchanged."""

    token: str
    pct: Annotated[float, Meta(ge=0, le=100)] | None = None
    done: _Integer | None = None
    total: _Integer | None = None
    step: str | None = None
    step_index: _Integer | None = None
    step_count: _Integer | None = None
    message: str | None = None


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="heartbeat"):
    """Worker to daemon: the handler says that it is alive."""

    token: str


class SettingUp(msgspec.Struct, frozen=True, array_like=True, tag="setting_up"):
    """Worker to daemon: the attempt waits for its handler's setup, whose limit now counts."""

    token: str


class SetUp(msgspec.Struct, frozen=True, array_like=True, tag="set_up"):
    """Worker to daemon: the setup has ended, well or not; the attempt's own time begins."""

    token: str


class Checkpoint(msgspec.Struct, frozen=True, array_like=True, tag="checkpoint"):
    """Worker to daemon: store this; answered by a Checkpointed of the same number."""

    token: str
    number: int
    data: bytes


class Finished(msgspec.Struct, array_like=True, tag="finished"):
    """Worker to daemon: the attempt is over."""

    token: str
    ended: Ended
    handler: str = ""
    """Distribution and version, such as `jobd-import 1.0`."""
    usage: dict[str, int | float] = {}
    """peak_rss_bytes, cpu_seconds of the attempt, as far as they are known."""
    scratch: bool = True
    """Whether its scratch folder is there."""
    worn: bool = False
    """Whether the worker has hardly a descriptor left for another job."""
    spoke: bool = True
    """Whether it may have written something: then a sign says where that ends."""


Up = (
    Ready
    | Importing
    | Loaded
    | NotLoaded
    | CatalogDone
    | Progress
    | Heartbeat
    | SettingUp
    | SetUp
    | Checkpoint
    | Finished
)


def encode(frame: Up | Down) -> bytes:
    """Return `frame` with its length in front; ValueError if it is over MAX_FRAME_BYTES."""
    body = _ENCODE(frame)
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(body)} bytes is over {MAX_FRAME_BYTES}")
    return LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a stream into frame bodies, whatever the pieces it arrives in."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = LENGTH.size
        """How much has to be there before it is worth a look."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies that `data` completes; ValueError on a length over the limit."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._wanted:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        bodies: list[bytes] = []
        at = 0
        self._wanted = LENGTH.size
        while len(data) - at >= LENGTH.size:
            (size,) = LENGTH.unpack_from(data, at)
            if size > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {size} bytes is over {MAX_FRAME_BYTES}")
            end = at + LENGTH.size + size
            if len(data) < end:
                self._wanted = end - at
                break
            bodies.append(data[at + LENGTH.size : end])
            at = end
        self._buffer += data[at:]
        return bodies
