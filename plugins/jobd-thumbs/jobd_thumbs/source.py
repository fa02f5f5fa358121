"""The picture that a job names, from its file to pixels in memory.

Invariant: a picture of more than `max_pixels` is refused by what its header declares, before
memory for it is taken; and what is set in Pillow and in `warnings` for one picture is set
back, whatever happens.

Not here: what is done with the pixels (pixels.py).
"""

import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import msgspec
from PIL import ExifTags, Image, UnidentifiedImageError

from jobd.sdk import Context, Discard
from jobd_thumbs import args, pixels

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
"""What is read. Pillow knows more, some of which start other programs (EPS: Ghostscript)."""

_UPRIGHT = 1
_ORIENTATIONS = range(1, 9)
_SIDEWAYS = 5
"""From this orientation on, width and height change places."""

# what Pillow's decoders raise for bytes that are not what they should be
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)


class Picture(msgspec.Struct, frozen=True):
    """A decoded picture: its first frame, if it has several."""

    source: args.Source
    image: Image.Image
    """8 bits per channel, mode L, RGB, RGBA or CMYK; a JPEG perhaps scaled down already."""
    box: tuple[float, float, float, float]
    """The part of `image` that is the picture: scaling down may leave a part of a pixel over."""
    orientation: int
    """How `image` still has to be turned, as EXIF says."""
    profile: bytes | None
    """The ICC profile that the colours are meant in."""


def open_source(ctx: Context, source: str) -> BinaryIO:
    """Open the file that a job names; Discard if that may not or cannot be."""
    path = ctx.path(source)
    try:
        file = path.open("rb", opener=_opened)
    except (FileNotFoundError, NotADirectoryError):
        raise Discard(code="source_not_found", message=f"There is no file {path}.") from None
    except OSError as exc:
        raise _unreadable(str(path), exc) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Discard(code="source_unreadable", message=f"{path} is not a regular file.")
    return file


def read_picture(file: BinaryIO, *, max_pixels: int, edge: int) -> Picture:
    """Decode the picture in a file, in enough detail for thumbnails of up to `edge` pixels.

    Raises Discard with not_an_image, image_too_large, truncated_image or source_unreadable.
    """
    with _limited(max_pixels), _named_errors(), Image.open(file, formats=FORMATS) as image:
        stated, (width, height) = _orientation(image), image.size
        if image.format == "TIFF" and stated >= _SIDEWAYS:
            width, height = height, width  # Pillow turns TIFFs itself and gives the turned size
        box = _drafted(image, edge)
        image.load()
        left = _orientation(image)  # again: a PNG may say it behind the pixels
        kept = "jpeg" if image.format == "MPO" else str(image.format).lower()
        return Picture(
            source=args.Source(width, height, kept, left if stated == _UPRIGHT else stated),
            image=pixels.eight_bit(image),
            box=box,
            orientation=left,
            profile=image.info.get("icc_profile"),
        )


def _opened(path: str, flags: int) -> int:
    # O_NOFOLLOW: links were followed before the path was allowed, and one that came since was
    # not; O_NONBLOCK: opening a fifo would wait for a writer
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


@contextmanager
def _limited(max_pixels: int) -> Iterator[None]:
    """Have Pillow refuse larger pictures for as long as the block runs."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # broken metadata, which is not kept
            # Pillow only warns of what is up to twice too large
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        message = f"The picture has more than {max_pixels} pixels (max_pixels)."
        raise Discard(code="image_too_large", message=message) from None
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn what Pillow raises into errors with a code."""
    try:
        yield
    except UnidentifiedImageError:
        message = f"The file is no picture of a known format ({', '.join(FORMATS)})."
        raise Discard(code="not_an_image", message=message) from None
    except _DAMAGE as exc:
        if isinstance(exc, OSError) and exc.errno is not None:  # the disk's error, not Pillow's
            raise _unreadable("The picture", exc) from None
        message = f"The picture is cut off or damaged: {exc}."
        raise Discard(code="truncated_image", message=message) from exc


def _unreadable(what: str, exc: OSError) -> Discard:
    return Discard(code="source_unreadable", message=f"{what} cannot be read: {exc.strerror}.")


def _orientation(image: Image.Image) -> int:
    """Return what EXIF or XMP says; upright if they say nothing that makes sense."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except _DAMAGE:
        return _UPRIGHT  # pixels without a word on how to hold them are still a picture
    return found if isinstance(found, int) and found in _ORIENTATIONS else _UPRIGHT


def _drafted(image: Image.Image, edge: int) -> tuple[float, float, float, float]:
    """Have a JPEG decoded at a fraction of its size if that is enough; return the picture's box."""
    width, height = pixels.fitted(*image.size, edge)
    whole = (0, 0, *image.size)
    drafted = image.draft(None, (width * pixels.DETAIL, height * pixels.DETAIL))
    return drafted[1] if drafted else whole
