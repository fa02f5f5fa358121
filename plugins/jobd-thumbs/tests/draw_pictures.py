"""Draw small pictures whose pixels are known: `python draw_pictures.py FOLDER`.

Most show, looked at the right way up, four quadrants: red and green above, blue and yellow
below. `draw` writes them all and returns their paths by name.
"""

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, ImageCms, PngImagePlugin

WIDTH, HEIGHT = 120, 80

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 160, 60), (40, 60, 200), (240, 220, 40)
COLOURS = {"r": RED, "g": GREEN, "b": BLUE, "y": YELLOW}

UPRIGHT = "rgby"
"""The quadrants from top left to bottom right, as they are to be seen."""

STORED = {
    1: "rgby",  # row 0 is the top, column 0 the left
    2: "gryb",  # row 0 is the top, column 0 the right
    3: "ybgr",  # row 0 is the bottom, column 0 the right
    4: "byrg",  # row 0 is the bottom, column 0 the left
    5: "rbgy",  # row 0 is the left, column 0 the top
    6: "gyrb",  # row 0 is the right, column 0 the top
    7: "ygbr",  # row 0 is the right, column 0 the bottom
    8: "bryg",  # row 0 is the left, column 0 the bottom
}
"""The quadrants as a file of each EXIF orientation stores them, from the words of the standard."""

GREYS = (0x0000, 0x5555, 0xAAAA, 0xFFFF)
"""The quadrants of the 16-bit picture."""

BOMB_EDGE = 50_000
SECRET = "taken at 52.5200 N 13.4050 E"  # noqa: S105 - what must not be in a thumbnail
GPS_TAG = ExifTags.Base.ImageDescription


def quadrants(order: str = UPRIGHT, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """Return a picture of four colours."""
    image = Image.new("RGB", size)
    x, y = size[0] // 2, size[1] // 2
    places = [(0, 0), (x, 0), (0, y), (x, y)]
    for place, letter in zip(places, order, strict=True):
        image.paste(COLOURS[letter], (*place, place[0] + x, place[1] + y))
    return image


def oriented(orientation: int) -> Image.Image:
    """Return the pixels that a file of this EXIF orientation stores."""
    size = (WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH)
    return quadrants(STORED[orientation], size)


def swapped_profile() -> bytes:
    """Return an ICC profile in which red means green and green means red."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"----").replace(b"gXYZ", b"rXYZ").replace(b"----", b"gXYZ")


def draw(folder: Path) -> dict[str, Path]:
    """Draw every picture into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for orientation in STORED:
        _save_oriented(folder / f"orientation-{orientation}.jpg", orientation)
    _save_oriented(folder / "orientation-6.png", 6)
    _save_oriented(folder / "orientation-6.tif", 6)
    late = _with_exif_last((folder / "orientation-6.png").read_bytes())
    (folder / "orientation-6-late.png").write_bytes(late)
    _save_alpha(folder / "alpha.png")
    _save_deep(folder / "deep.png")
    _save_frames(folder / "frames.gif")
    _save_secrets(folder)
    quadrants().convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    quadrants().save(folder / "swapped.png", icc_profile=swapped_profile())
    quadrants().save(folder / "bad-profile.png", icc_profile=b"no profile at all")
    (folder / "bomb.png").write_bytes(bomb(BOMB_EDGE, BOMB_EDGE))
    for ending in ("jpg", "png"):
        whole = (folder / f"orientation-6.{ending}").read_bytes()
        (folder / f"truncated.{ending}").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "text.jpg").write_text("This is no picture.\n")
    return {path.name: path for path in sorted(folder.iterdir())}


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that says it is huge; its pixels are missing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _save_oriented(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    form: dict[str, Any] = {"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}
    oriented(orientation).save(path, exif=exif, **form)


def _with_exif_last(body: bytes) -> bytes:
    """Move the EXIF chunk of a PNG behind the pixels."""
    start = body.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(body[start : start + 4])
    rest, trailer_bytes = body[:start] + body[end:], 12
    return rest[:-trailer_bytes] + body[start:end] + rest[-trailer_bytes:]


def _save_alpha(path: Path) -> None:
    """Draw opaque quadrants above, half of blue and nothing of yellow below."""
    image = quadrants().convert("RGBA")
    alpha = Image.new("L", image.size, 255)
    alpha.paste(128, (0, HEIGHT // 2, WIDTH // 2, HEIGHT))
    alpha.paste(0, (WIDTH // 2, HEIGHT // 2, WIDTH, HEIGHT))
    image.putalpha(alpha)
    image.save(path)


def _save_deep(path: Path) -> None:
    above, below = (
        struct.pack("<H", left) * (WIDTH // 2) + struct.pack("<H", right) * (WIDTH // 2)
        for left, right in (GREYS[:2], GREYS[2:])
    )
    pixels = above * (HEIGHT // 2) + below * (HEIGHT // 2)
    Image.frombytes("I;16", (WIDTH, HEIGHT), pixels).save(path)


def _save_frames(path: Path) -> None:
    """Draw the quadrants, then in a second frame their mirror image."""
    second = quadrants(STORED[3]).quantize(8)
    quadrants().quantize(8).save(path, save_all=True, append_images=[second], duration=100, loop=0)


def _save_secrets(folder: Path) -> None:
    """Draw files that carry more than pixels: EXIF, XMP, a comment, text, a profile."""
    exif = Image.Exif()
    exif[GPS_TAG] = SECRET
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET)
    comment, profile = SECRET.encode(), swapped_profile()
    image = quadrants()
    image.save(folder / "secret.jpg", exif=exif, comment=comment, xmp=comment, icc_profile=profile)
    image.save(folder / "secret.png", exif=exif, pnginfo=text, icc_profile=profile)
    image.save(folder / "secret.webp", exif=exif, xmp=comment, icc_profile=profile)
    commented = io.BytesIO()
    image.quantize(8).save(commented, "GIF", comment=comment)
    (folder / "secret.gif").write_bytes(commented.getvalue())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for drawn in draw(Path(sys.argv[1])).values():
        sys.stdout.write(f"{drawn}\n")
