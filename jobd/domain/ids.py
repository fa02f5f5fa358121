"""Time-ordered identifiers: a prefix and the 32 hex digits of a UUIDv7 (RFC 9562, section 5.7).

Ordered ids keep the unique index append-only: inserts cost half of what random ids cost.
"""

import os
import re
import threading

JOB_ID = re.compile(r"job_[0-9a-f]{32}(?!\n)")

FILE_ID = re.compile(r"file_(?P<sha256>[0-9a-f]{64})(?!\n)")
"""An upload is named after its content."""

_RANDOM_BYTES = 4096
"""Drawn from the kernel at a time: a call for each id would be a good part of its cost."""

_COUNTER_BITS = 42
_COUNTER_MAX = (1 << _COUNTER_BITS) - 1


class IdSource:
    """Hands out ids that only ever grow, also when the wall clock goes back.

    The 42 bits behind the millisecond are a counter that starts at a random value (half
    of its range) each millisecond and counts up within it; 32 random bits follow.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0
        self._random = b""
        self._drawn = 0

    def next(self, prefix: str, wall_ms: int) -> str:
        """Return `prefix` + 32 lower-case hex digits, greater than every id given before."""
        with self._lock:
            if wall_ms > self._last_ms:
                self._last_ms = wall_ms
                self._counter = int.from_bytes(self._draw(6)) >> 7
            else:
                self._counter += 1
                if self._counter > _COUNTER_MAX:
                    self._last_ms += 1
                    self._counter = 0
            ms, counter, tail = self._last_ms, self._counter, int.from_bytes(self._draw(4))
        high = counter >> 30
        low = counter & ((1 << 30) - 1)
        value = ms << 80 | 0x7 << 76 | high << 64 | 0x2 << 62 | low << 32 | tail
        return f"{prefix}{value:032x}"

    def _draw(self, count: int) -> bytes:
        """Return random bytes that nobody was given before; a forked child must not use them."""
        begin = self._drawn
        if begin + count > len(self._random):
            self._random, begin = os.urandom(_RANDOM_BYTES), 0
        self._drawn = begin + count
        return self._random[begin : begin + count]


def new_token() -> str:
    """Return a fresh lease token: 16 random bytes in hex, never handed out twice."""
    return os.urandom(16).hex()
