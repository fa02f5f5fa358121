"""Lines of logs, as they are handed on and as they lie on disk: one JSON object each.

Not here: which are kept (logs.py), who waits for them (log_follower.py).
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

LINE_COST_BYTES = 64
"""What a line costs besides its text."""


class LogLine(msgspec.Struct, frozen=True):
    """One line of a log."""

    attempt: int
    timestamp: int
    """Milliseconds since the epoch: when it arrived."""
    stream: str
    """stdout, stderr, log (what `logging` recorded), or jobd."""
    line: str

    def encoded(self) -> bytes:
        """Return it as it lies on disk."""
        return _ENCODER.encode(self) + b"\n"


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(LogLine)


class Lines(msgspec.Struct, frozen=True):
    """Lines of one stream that came together."""

    attempt: int
    at_ms: int
    stream: str
    texts: tuple[str, ...]
    cost_bytes: int
    """About what they take up in memory."""

    @classmethod
    def of(cls, attempt: int, at_ms: int, stream: str, texts: tuple[str, ...]) -> Self:
        """Return them with their cost."""
        cost_bytes = sum(map(len, texts)) + LINE_COST_BYTES * len(texts)
        return cls(attempt, at_ms, stream, texts, cost_bytes)

    def behind(self, index: int) -> Self:
        """Return those from `index` on, which may be negative."""
        return self.of(self.attempt, self.at_ms, self.stream, self.texts[index:])

    def __iter__(self) -> Iterator[LogLine]:
        return (LogLine(self.attempt, self.at_ms, self.stream, text) for text in self.texts)

    def __reversed__(self) -> Iterator[LogLine]:
        texts = reversed(self.texts)
        return (LogLine(self.attempt, self.at_ms, self.stream, text) for text in texts)


def lines_of(path: Path, size_bytes: int | None) -> Iterator[LogLine]:
    """Yield the whole lines of a file's first `size_bytes`, or of all of it, if it is there."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        at = 0
        for record in file:
            at += len(record)
            if size_bytes is not None and at > size_bytes:
                return
            # after a power cut the end may be torn, or zeros
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                yield _DECODER.decode(record)
