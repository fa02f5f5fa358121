"""What happens to the pixels: 8 bits per channel, resized, turned upright, sRGB, saved.

Invariant: a thumbnail is never larger than its picture, has its shape to within a pixel, and
carries nothing of its metadata.

The costly steps come after resizing, on the few pixels that are left.

Not here: how the picture comes into memory (source.py).
"""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec
from PIL import Image, ImageCms

from jobd_thumbs.args import Format, Source

Box = tuple[float, float, float, float]

_DETAIL = 2
"""How many times finer than the thumbnail a picture must be for resizing to be exact."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes each EXIF orientation upright; Pillow rotates counter-clockwise."""

_SPACES = {"L": "GRAY", "RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}
"""The modes that are resized, and the colour space that a profile for them describes."""

_SRGB = ImageCms.createProfile("sRGB")
_WHITE = 255


class Picture(msgspec.Struct, frozen=True):
    """A decoded picture: its first frame, if it has several."""

    source: Source
    image: Image.Image
    """Perhaps scaled down already."""
    size: tuple[int, int]
    """Before it was scaled down, and before it is turned."""
    box: Box
    """The part of `image` that is the picture: scaling down may leave a part of a pixel over."""
    orientation: int
    """How `image` still has to be turned, as EXIF says."""
    profile: bytes | None
    """The ICC profile that the colours are meant in."""


def fitted(width: int, height: int, edge: int) -> tuple[int, int]:
    """Return the size of a picture whose longest edge is scaled down to `edge`."""
    longest = max(width, height)
    if edge >= longest:
        return width, height

    def scaled(length: int) -> int:
        return max(1, (length * edge + longest // 2) // longest)

    return scaled(width), scaled(height)


def detailed(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """Return the size down to which a picture may be scaled roughly before it is resized."""
    width, height = fitted(*size, edge)
    return width * _DETAIL, height * _DETAIL


def prepared(picture: Picture, edge: int) -> Picture:
    """Return it with 8 bits per channel, and no larger than thumbnails of up to `edge` need."""
    image, box = _eight_bit(picture.image), picture.box
    width, height = detailed(picture.size, edge)
    factor = min(image.width // width, image.height // height)
    if factor > 1:
        image, box = image.reduce(factor), _shrunk(box, factor)
    return msgspec.structs.replace(picture, image=image, box=box)


def thumbnail(picture: Picture, edge: int) -> Image.Image:
    """Return a prepared picture upright, in RGB or RGBA, its longest edge at most `edge`."""
    size = fitted(*picture.size, edge)
    lanczos = Image.Resampling.LANCZOS
    image = picture.image.resize(size, lanczos, picture.box, reducing_gap=_DETAIL)
    image = _in_srgb(image, picture.profile)
    turn = _TURNS.get(picture.orientation)
    return image if turn is None else image.transpose(turn)


def save(image: Image.Image, path: Path, form: Format, quality: int) -> None:
    """Write the file without metadata; jpeg knows no transparency and gets white behind it."""
    if form == "jpeg" and image.mode == "RGBA":
        opaque = Image.new("RGB", image.size, "white")
        opaque.paste(image, mask=image.getchannel("A"))
        image = opaque
    image.info = {}  # Pillow's writers keep some of what they find here
    options: dict[str, Any] = {} if form == "png" else {"quality": quality}
    image.save(path, form, **options)


def _shrunk(box: Box, factor: int) -> Box:
    left, upper, right, lower = (edge / factor for edge in box)
    return left, upper, right, lower


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode in {"I", "F"}:
        return _spread(image)
    if image.has_transparency_data:
        mode = "RGBA"
    elif image.mode in _SPACES:
        mode = image.mode
    else:
        mode = "L" if image.mode == "1" else "RGB"
    # convert() to the mode it has would copy a large picture
    return image if image.mode == mode else image.convert(mode)


def _spread(image: Image.Image) -> Image.Image:
    """Return mode L of 32-bit values; if they do not fit, their range from black to white."""
    low, high = cast("tuple[float, float]", image.getextrema())  # one channel, so one pair
    if low < 0 or high > _WHITE:
        scale = _WHITE / ((high - low) or 1)
        image = image.convert("F").point(lambda value: value * scale - low * scale)
    return image.convert("L")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return RGB or RGBA; a profile that is broken or made for other pixels is left aside."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        # ValueError: a colour space that is not even ASCII
        with suppress(ImageCms.PyCMSError, OSError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if source.profile.xcolor_space.strip() == _SPACES[image.mode]:
                converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode=mode)
                return converted or image.convert(mode)
    return image.convert(mode)
