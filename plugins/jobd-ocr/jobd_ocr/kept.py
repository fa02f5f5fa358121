"""What was read so far, as it is kept for a later attempt: packed, and only added to.

Invariant: a page that is kept is never read again, unless the file or what was asked changed.
A checkpoint has a limit; pages that do not fit are read again after a crash, the others not.
"""

import base64
import zlib
from typing import Any

import msgspec

from jobd.sdk import Context
from jobd_ocr.args import PageText

MAX_BYTES = 1_000_000
"""A little under what a checkpoint holds."""

_MAX_TEXT_BYTES = 256 * 1024 * 1024
_LINES = msgspec.json.Decoder(PageText)


class _Stored(msgspec.Struct, frozen=True):
    made_of: str
    pages: str
    """JSON lines, packed by zlib; the stream has no end, it goes on."""


class Kept:
    """The pages of one job."""

    def __init__(self, ctx: Context, made_of: str) -> None:
        """Take over what an earlier attempt kept of the same file, read the same way."""
        self._ctx = ctx
        self._made_of = made_of
        self._packer = zlib.compressobj(9)
        self._packed = b""
        self._full = False
        self.pages: list[PageText] = []
        for page in _restored(ctx.restored, made_of):
            self._pack(page)
        self.restored = len(self.pages)

    def add(self, page: PageText) -> None:
        """Keep a page; it is on disk when this returns."""
        self._pack(page)
        if self._full:
            return
        if len(self._packed) * 4 // 3 + len(self._made_of) > MAX_BYTES:
            self._full = True
            self._ctx.log.warning("The text is too long to be kept for a further attempt.")
            return
        pages = base64.b64encode(self._packed).decode()
        self._ctx.checkpoint(_Stored(self._made_of, pages))

    def _pack(self, page: PageText) -> None:
        self.pages.append(page)
        line = msgspec.json.encode(page) + b"\n"
        self._packed += self._packer.compress(line) + self._packer.flush(zlib.Z_SYNC_FLUSH)


def _restored(stored: Any, made_of: str) -> list[PageText]:
    if stored is None:
        return []
    kept = msgspec.convert(stored, _Stored)
    if kept.made_of != made_of:
        return []
    packed = base64.b64decode(kept.pages)
    lines = zlib.decompressobj().decompress(packed, _MAX_TEXT_BYTES)
    return _LINES.decode_lines(lines)
