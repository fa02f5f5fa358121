"""A page as grey pixels, whatever file it comes from; bounds on them before they are made.

Not here: the files (pdf_pages.py, image_pages.py), reading the pixels (tesseract.py).
"""

import struct
from typing import Protocol

import msgspec

MAX_EDGE = 32_767
"""Tesseract takes no longer edge."""

_MAGIC = b"II*\0" + struct.pack("<I", 8)
_ENTRY = struct.Struct("<HHII")
_ENTRIES = 9
_LONG = 4
_NO_MORE = bytes(4)
_PIXELS_AT = len(_MAGIC) + 2 + _ENTRIES * _ENTRY.size + len(_NO_MORE)


class PageFailed(Exception):  # noqa: N818 - as the SDK's own
    """This page cannot be read; others may."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Picture(msgspec.Struct, frozen=True):
    """One page, 8 bits of grey a pixel, no gaps between rows."""

    width: int
    height: int
    pixels: bytes
    dpi: int | None

    @property
    def tiff(self) -> bytes:
        """The file that tesseract has read soonest: its pixels as they are, in one strip."""
        entries = b"".join(
            _ENTRY.pack(tag, _LONG, 1, value)
            for tag, value in (
                (256, self.width),
                (257, self.height),
                (258, 8),  # bits a pixel
                (259, 1),  # not packed
                (262, 1),  # 0 is black
                (273, _PIXELS_AT),
                (277, 1),  # one colour
                (278, self.height),
                (279, len(self.pixels)),
            )
        )
        count = struct.pack("<H", _ENTRIES)
        return b"".join([_MAGIC, count, entries, _NO_MORE, self.pixels])


class Pages(Protocol):
    """The pages of a file, counted from 0."""

    count: int

    def text(self, index: int) -> str | None:
        """Return the text that a page brings along and that is to be kept."""

    def picture(self, index: int) -> Picture:
        """Return a page's pixels; PageFailed when there can be none."""


def check_size(width: float, height: float, max_pixels: int) -> None:
    """Raise PageFailed for a page that is too large to be rendered."""
    if width * height > max_pixels or max(width, height) > MAX_EDGE:
        raise PageFailed(
            "page_too_large",
            f"The page has {width:.0f} x {height:.0f} pixels; {max_pixels} are allowed in all, "
            f"{MAX_EDGE} on an edge.",
        )
