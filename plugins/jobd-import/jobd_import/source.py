"""The file that is imported: opened once, read forward, every byte counted.

Invariant: `Lines.at_bytes` is the offset behind the last line taken, to the byte.
"""

import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from jobd.sdk import Discard

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Bounds the memory that a file without line ends takes."""

BOM = b"\xef\xbb\xbf"

_BLOCK_BYTES = 64 * 1024
_BUFFER_BYTES = 1024 * 1024
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\r\f"))
_FEW_CONTROLS = 8
_TEXT_CONTROLS = 0.01


class Stamp(msgspec.Struct, frozen=True):
    """What tells whether a file is still the same one, unchanged."""

    size_bytes: int
    mtime_ns: int
    inode: int


class _Counting(io.FileIO):
    """A raw file that counts what is really read from it."""

    read_bytes = 0

    def readinto(self, buffer: Any, /) -> int | None:
        got = super().readinto(buffer)
        self.read_bytes += got or 0
        return got


class Source:
    """An open regular file. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open it; Discard with source_not_found or source_unreadable if that cannot be."""
        try:
            # O_NONBLOCK: opening a fifo would wait for a writer
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Discard(code="source_not_found", message=f"There is no file {path}.") from None
        except OSError as exc:
            raise _unreadable(path, os.strerror(exc.errno or 0)) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _unreadable(path, "it is not a regular file")
        self.path = path
        self._raw = _Counting(fd, "rb")
        self._file = io.BufferedReader(self._raw, _BUFFER_BYTES)
        self.stamp = self.current_stamp()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def read_bytes(self) -> int:
        """How many bytes were read so far, read-ahead too."""
        return self._raw.read_bytes

    def current_stamp(self) -> Stamp:
        """Return the file's stamp as it is now."""
        found = os.fstat(self._raw.fileno())
        return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)

    def first_block(self) -> bytes:
        """Return the whole lines of the first 64 KiB; nothing if not even one ends there."""
        block = self._file.peek(_BLOCK_BYTES)[:_BLOCK_BYTES]  # stays in the buffer
        return block if len(block) >= self.stamp.size_bytes else block[: block.rfind(b"\n") + 1]

    def lines(self, at_bytes: int, at_line: int, code: str) -> "Lines":
        """Return the lines from an offset on; `at_line` lines lie before it."""
        self._file.seek(at_bytes)
        return Lines(self._file.readline, at_bytes, at_line, code)


class Lines:
    """The lines of a source from a place on, remembered until the next cut."""

    def __init__(
        self, readline: Callable[[int], bytes], at_bytes: int, at_line: int, code: str
    ) -> None:
        self._readline = readline
        self._code = code
        self._cut_bytes = at_bytes
        self._cut_line = at_line
        self.at_bytes = at_bytes
        self.taken: list[bytes] = []

    def __iter__(self) -> Iterator[bytes]:
        """Take lines until the source ends; Discard if one is too long to be read."""
        readline, limit = self._readline, MAX_LINE_BYTES + 1
        while raw := readline(limit):
            if len(raw) == limit:
                raise Discard(code=self._code, message=f"Line {self.next_line} never ends.")
            self.at_bytes += len(raw)
            self.taken.append(raw)
            yield raw

    @property
    def next_line(self) -> int:
        """The number of the line that would be taken next, from 1."""
        return self._cut_line + len(self.taken) + 1

    @property
    def taken_bytes(self) -> int:
        """How many bytes were taken since the last cut."""
        return self.at_bytes - self._cut_bytes

    def cut(self) -> tuple[list[bytes], int]:
        """Return the lines taken since the last cut, and the number of the first of them."""
        raws, first_line = self.taken, self._cut_line + 1
        self._cut_line += len(raws)
        self._cut_bytes = self.at_bytes
        self.taken = []
        return raws, first_line


def looks_binary(block: bytes) -> bool:
    """Whether the beginning of a file is no text in UTF-8.

    Some bad lines are rows to reject. Mostly bad lines, or bad ones among as many control
    characters as no text has, are another kind of file.
    """
    if is_text(block):
        return False
    controls = len(block) - len(block.translate(None, _CONTROLS))
    if controls > _FEW_CONTROLS and controls > len(block) * _TEXT_CONTROLS:
        return True
    lines = block.split(b"\n")
    return 2 * sum(not is_text(line) for line in lines) > len(lines)


def is_text(line: bytes) -> bool:
    """Whether a line is UTF-8 without NUL."""
    try:
        return "\0" not in line.decode()
    except UnicodeDecodeError:
        return False


def _unreadable(path: Path, why: str) -> Discard:
    return Discard(code="source_unreadable", message=f"{path} cannot be read: {why}.")
