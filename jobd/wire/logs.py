"""A line of an attempt's log, as NDJSON carries it, and as an event does."""

import msgspec

from jobd.wire.times import Timestamp


class LogLine(msgspec.Struct, frozen=True):
    """One line that a handler wrote, or `logging` recorded."""

    attempt: int
    timestamp: Timestamp
    stream: str
    line: str


class LogEvent(msgspec.Struct, frozen=True):
    """What the data of a server-sent `job.log` holds."""

    type: str
    timestamp: Timestamp
    data: LogLine
