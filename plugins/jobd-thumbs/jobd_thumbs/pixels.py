"""What happens to the pixels: 8 bits per channel, resized, turned upright, sRGB, saved.

Invariant: a thumbnail is never larger than its picture, has its shape to within a pixel, and
carries nothing of its metadata.

The costly steps come after resizing, on the few pixels that are left.
"""

import io
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageCms

from jobd.sdk import Discard
from jobd_thumbs.args import Format

if TYPE_CHECKING:  # source.py imports this module
    from jobd_thumbs.source import Picture

DETAIL = 2
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
"""The colour space that the profile of each mode must be for."""

_SRGB = ImageCms.createProfile("sRGB")
_WHITE = 255


def fitted(width: int, height: int, edge: int) -> tuple[int, int]:
    """Return the size of a picture whose longest edge is scaled down to `edge`."""
    longest = max(width, height)
    if edge >= longest:
        return width, height

    def scaled(length: int) -> int:
        return max(1, (length * edge + longest // 2) // longest)

    return scaled(width), scaled(height)


def eight_bit(image: Image.Image) -> Image.Image:
    """Return the picture in mode L, RGB, RGBA or CMYK; Discard if there is no way to."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode in {"I", "F"}:
        return _stretched(image)
    if image.has_transparency_data:
        mode = "RGBA"
    elif image.mode in _SPACES:
        return image.copy()  # the picture's own is closed with its file
    else:
        mode = "L" if image.mode == "1" else "RGB"
    try:
        return image.convert(mode)
    except ValueError as exc:
        raise Discard(code="not_an_image", message=f"No known way to show it: {exc}.") from None


def thumbnail(picture: "Picture", edge: int) -> Image.Image:
    """Return the picture upright, in RGB or RGBA, its longest edge at most `edge`."""
    whole = (picture.source.width, picture.source.height)
    turned = picture.image.size if picture.box[2:] == picture.image.size else whole
    size = fitted(*turned, edge)
    image = picture.image.resize(size, Image.Resampling.LANCZOS, picture.box, reducing_gap=DETAIL)
    image = _in_srgb(image, picture.profile)
    turn = _TURNS.get(picture.orientation)
    return image if turn is None else image.transpose(turn)


def save(image: Image.Image, path: Path, form: Format, quality: int) -> None:
    """Write the file, without any metadata; jpeg knows no transparency and gets white for it."""
    if form == "jpeg" and image.mode == "RGBA":
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    image.info = {}  # some of Pillow's writers keep what they find here
    options: dict[str, Any] = {"jpeg": {"quality": quality, "optimize": True}, "png": {}}.get(
        form, {"quality": quality}
    )
    image.save(path, form, **options)


def _stretched(image: Image.Image) -> Image.Image:
    """Return mode L of 32-bit values; those that do not fit are spread from black to white."""
    low, high = image.getextrema()
    if isinstance(low, tuple) or isinstance(high, tuple):
        raise TypeError(f"mode {image.mode} has one channel")
    if low < 0 or high > _WHITE:
        scale = _WHITE / ((high - low) or 1)
        image = image.point(lambda value: value * scale - low * scale)
    return image.convert("L")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return RGB or RGBA; a profile that is broken or made for other pixels is left aside."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        with suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if source.profile.xcolor_space.strip() == _SPACES[image.mode]:
                converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode=mode)
                return converted or image
    return image.convert(mode)
