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

from PIL import ExifTags, Image, UnidentifiedImageError

from jobd.sdk import Context, Discard
from jobd_thumbs import pixels
from jobd_thumbs.args import Source, Upload

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
    RuntimeError,
    struct.error,
    zlib.error,
)


def open_source(ctx: Context, source: str | Upload) -> BinaryIO:
    """Open the file that a job names; Discard if that may not or cannot be."""
    path = ctx.file(source.file_id) if isinstance(source, Upload) else ctx.path(source)
    try:
        # O_NOFOLLOW: links were followed before the path was allowed, and one that came since
        # was not; O_NONBLOCK: opening a fifo would wait for a writer
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise Discard(code="source_not_found", message=f"There is no file {path}.") from None
    except OSError as exc:
        raise _unreadable(str(path), exc) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Discard(code="source_unreadable", message=f"{path} is not a regular file.")
    return os.fdopen(fd, "rb")


def read_picture(file: BinaryIO, *, max_pixels: int, edge: int) -> pixels.Picture:
    """Decode the picture in a file and prepare it for thumbnails of up to `edge` pixels.

    Raises Discard with not_an_image, image_too_large, truncated_image or source_unreadable.
    """
    with _limited(max_pixels), _named_errors():
        image = Image.open(file, formats=FORMATS)
        # Pillow turns TIFFs, and only TIFFs, while it decodes them; a PNG may say how it is to
        # be turned behind its pixels
        before = _orientation(image) if image.format == "TIFF" else None
        declared = image.size
        # a JPEG can be decoded at a fraction of its size
        drafted = image.draft(None, pixels.detailed(declared, edge))
        image.load()
        left = _orientation(image)
        size = declared if drafted else image.size
        profile = image.info.get("icc_profile")
        picture = pixels.Picture(
            source=_stored(image, size, before or left),
            image=image,
            size=size,
            box=drafted[1] if drafted else (0, 0, *size),
            orientation=left,
            # a TIFF's may be of any type
            profile=profile if isinstance(profile, bytes) else None,
        )
        return pixels.prepared(picture, edge)


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


def _stored(image: Image.Image, size: tuple[int, int], orientation: int) -> Source:
    width, height = size
    if image.format == "TIFF" and orientation >= _SIDEWAYS:
        width, height = height, width
    # a JPEG with further pictures behind the first, as many phones write it
    form = "jpeg" if image.format == "MPO" else str(image.format).lower()
    return Source(width, height, form, orientation)
