"""What `thumbs.make` takes and returns."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Format = Literal["webp", "jpeg", "png"]

AbsolutePath = Annotated[str, Meta(pattern="^/", max_length=4095)]

Size = Annotated[int, Meta(ge=1, le=8192)]


class Upload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture that was uploaded: `{"$file": "file_…"}`."""

    file_id: Annotated[str, Meta(pattern=r"^file_[0-9a-f]{64}(?!\n)$")] = msgspec.field(
        name="$file"
    )


class ThumbsArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The args of `thumbs.make`."""

    source: Annotated[
        AbsolutePath | Upload,
        Meta(
            description="Absolute path of the picture, in a folder the daemon allows, or an upload."
        ),
    ]
    sizes: Annotated[
        tuple[Size, ...],
        Meta(
            min_length=1,
            max_length=20,
            description="The longest edge of each thumbnail, in pixels; a size given twice is "
            "made once.",
        ),
    ] = (128, 512)
    format: Annotated[Format, Meta(description="The format of the thumbnails.")] = "webp"
    quality: Annotated[
        int, Meta(ge=1, le=100, description="Of webp and jpeg; png is always exact.")
    ] = 80
    max_pixels: Annotated[
        int,
        Meta(
            ge=1,
            le=500_000_000,
            description="A picture of more pixels is refused before they are decoded.",
        ),
    ] = 100_000_000


class Source(msgspec.Struct, frozen=True):
    """The picture as its file stores it, before it is turned upright."""

    width: int
    height: int
    format: str
    orientation: int
    """As EXIF says: 1 is upright; from 5 on, width and height change places."""


class Thumbnail(msgspec.Struct, frozen=True):
    """One thumbnail; `name` is its artifact."""

    name: str
    width: int
    height: int
    size_bytes: int


class Made(msgspec.Struct, frozen=True):
    """The result: a thumbnail for each size, in the order of the sizes."""

    source: Source
    thumbnails: list[Thumbnail]
