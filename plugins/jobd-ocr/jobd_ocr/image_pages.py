"""The pages of a picture: one, or the frames of a TIFF.

Invariant: nothing is decoded before its declared size was checked.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageOps, UnidentifiedImageError

from jobd.sdk import Discard
from jobd_ocr.pages import PageFailed, Picture, check_size

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
"""What is read. Pillow knows more, some of which start other programs (EPS: Ghostscript)."""

_DPIS = range(70, 2401)
"""What a file may say of itself to be believed: many say 1 or 72, which no scan has."""

_SCREEN_DPI = 72

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


class ImagePages:
    """An open picture; see pages.Pages."""

    def __init__(self, image: Image.Image, *, dpi: int | None, max_pixels: int) -> None:
        # the frames of other formats are an animation
        self.count = int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
        self._image = image
        self._dpi = dpi
        self._max_pixels = max_pixels

    def text(self, index: int) -> None:
        """Do nothing: a picture brings no text along."""

    def picture(self, index: int) -> Picture:
        """Decode a page, turn it as EXIF says, and put white where it is transparent."""
        try:
            if index:
                self._image.seek(index)
            check_size(*self._image.size, self._max_pixels)
            grey = _grey(ImageOps.exif_transpose(self._image))
        except _DAMAGE as exc:
            message = f"The picture is cut off or damaged: {exc}"
            raise PageFailed("page_damaged", message) from None
        return Picture(grey.width, grey.height, grey.tobytes(), self._dpi or _own_dpi(self._image))


@contextmanager
def opened(path: str, *, dpi: int | None, max_pixels: int) -> Iterator[ImagePages]:
    """Open a picture; Discard with `not_an_image`."""
    with _quiet():
        try:
            image = Image.open(path, formats=FORMATS)
        except UnidentifiedImageError:
            message = f"The file is no picture of a known format ({', '.join(FORMATS)})."
            raise Discard(code="not_an_image", message=message) from None
        except _DAMAGE as exc:
            message = f"The picture cannot be opened: {exc}"
            raise Discard(code="not_an_image", message=message) from None
        with image:
            yield ImagePages(image, dpi=dpi, max_pixels=max_pixels)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave the bound on pixels to `check_size`, and broken metadata without a word."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        paper = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(paper, seen).convert("L")
    return image.convert("L")


def _own_dpi(image: Image.Image) -> int | None:
    try:
        dpi = round(float(image.info["dpi"][0]))
    except (KeyError, LookupError, TypeError, ValueError, ArithmeticError):
        return None
    return dpi if dpi in _DPIS and dpi != _SCREEN_DPI else None
