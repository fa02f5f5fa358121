"""The picture that the demo has thumbnails made of, and what can be seen in one.

It shows, upright, four colours: red and green above, blue and yellow below. As cameras do,
the file stores it lying on its side and says so (EXIF orientation 6).

Not here: how pictures are resized (the plugin jobd-thumbs).
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

WIDTH, HEIGHT = 1200, 800
"""As it is seen."""

COLOURS = {
    "red": b"\xdc\x1e\x1e",
    "green": b"\x1e\xa0\x3c",
    "blue": b"\x28\x3c\xc8",
    "yellow": b"\xf0\xdc\x28",
}
"""By quadrant: top left, top right, bottom left, bottom right."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BPP = 3
_RGB = (8, 2)
"""Eight bits a channel, and the colour type."""

# orientation 6: the first row of the file is the right of the picture, the first column its top
_STORED = (("green", "yellow"), ("red", "blue"))
_SIDEWAYS = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)


def draw(path: Path) -> None:
    """Write the picture as a PNG."""
    half = HEIGHT // 2
    rows = [b"\0" + COLOURS[left] * half + COLOURS[right] * half for left, right in _STORED]
    pixels = b"".join(row * (WIDTH // 2) for row in rows)
    header = struct.pack(">IIBBBBB", HEIGHT, WIDTH, *_RGB, 0, 0, 0)
    chunks = {b"IHDR": header, b"eXIf": _SIDEWAYS, b"IDAT": zlib.compress(pixels), b"IEND": b""}
    path.write_bytes(_SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks.items()))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def seen(png: bytes) -> tuple[int, int, tuple[str, ...]]:
    """Return width, height, and the colour in the middle of each quadrant of an RGB picture.

    ValueError when it is no such PNG.
    """
    chunks = list(_chunks(png))
    width, height, *form = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
    if form != [*_RGB, 0, 0, 0]:
        raise ValueError("not a plain RGB picture")
    packed = b"".join(data for kind, data in chunks if kind == b"IDAT")
    rows = list(_rows(zlib.decompress(packed), width))
    middles = [(x, y) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    return width, height, tuple(_named(rows[y][x * _BPP :][:_BPP]) for x, y in middles)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


def _rows(data: bytes, width: int) -> Iterator[bytes]:
    """Yield the pixels of each row, its filter undone (PNG, section 9)."""
    size = width * _BPP
    above = bytearray(_BPP + size)
    for at in range(0, len(data), size + 1):
        row = bytearray(_BPP) + data[at + 1 : at + 1 + size]
        for index in range(_BPP, len(row)):
            left, up, corner = row[index - _BPP], above[index], above[index - _BPP]
            row[index] = (row[index] + _predicted(data[at], left, up, corner)) & 0xFF
        above = row
        yield bytes(row[_BPP:])


def _predicted(filter_: int, left: int, up: int, corner: int) -> int:
    nearest = min(
        (abs(up - corner), 0, left),
        (abs(left - corner), 1, up),
        (abs(left + up - 2 * corner), 2, corner),
    )[2]
    return (0, left, up, (left + up) // 2, nearest)[filter_]


def _named(pixel: bytes) -> str:
    def distance(name: str) -> int:
        return sum((a - b) ** 2 for a, b in zip(pixel, COLOURS[name], strict=True))

    return min(COLOURS, key=distance)
