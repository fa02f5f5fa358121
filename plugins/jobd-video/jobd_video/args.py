"""What `video.transcode` and `video.thumbnail` take, and what the operator may set.

Invariant: nothing of the args reaches ffmpeg as an option; words are looked up, numbers checked.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Format = Literal["mp4", "webm", "mkv"]
Codec = Literal["h264", "h265", "vp9", "av1", "copy"]
Speed = Literal["fast", "medium", "slow"]
Picture = Literal["jpeg", "png", "webp"]

AbsolutePath = Annotated[str, Meta(pattern="^/", max_length=4095)]

Seconds = Annotated[float, Meta(ge=0, le=1_000_000)]

_DEFAULT: dict[Format, Codec] = {"mp4": "h264", "webm": "vp9", "mkv": "h264"}
_WEBM = ("vp9", "av1", "copy")


class Upload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A video that was uploaded: `{"$file": "file_…"}`."""

    file_id: Annotated[str, Meta(pattern=r"^file_[0-9a-f]{64}(?!\n)$")] = msgspec.field(
        name="$file"
    )


Video = Annotated[
    AbsolutePath | Upload,
    Meta(description="Absolute path of the video, in a folder the daemon allows, or an upload."),
]


class TranscodeArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The args of `video.transcode`."""

    source: Video
    format: Annotated[Format, Meta(description="The kind of file.")] = "mp4"
    codec: Annotated[
        Codec | None,
        Meta(
            description="What the pictures are packed with: h264 for mp4 and mkv, vp9 for webm; "
            "copy leaves pictures and sound as they are."
        ),
    ] = None
    height: Annotated[
        Annotated[int, Meta(ge=16, le=4320, multiple_of=2)] | None,
        Meta(description="Scale down to this height; never up."),
    ] = None
    crf: Annotated[
        Annotated[int, Meta(ge=0, le=63)] | None,
        Meta(description="The quality, smaller is better; each codec has a good default."),
    ] = None
    speed: Annotated[Speed, Meta(description="Slow makes smaller files.")] = "medium"
    audio: Annotated[Literal["keep", "none"], Meta(description="Whether it has sound.")] = "keep"
    start_s: Annotated[Seconds, Meta(description="Begin so far into the video.")] = 0.0
    duration_s: Annotated[
        Annotated[float, Meta(gt=0, le=1_000_000)] | None, Meta(description="Take so much of it.")
    ] = None

    def __post_init__(self) -> None:
        if self.format == "webm" and self.packed not in _WEBM:
            raise ValueError(f"webm takes {', '.join(_WEBM)}, not {self.packed}")
        if self.packed == "copy" and (self.height is not None or self.crf is not None):
            raise ValueError("copy changes no picture: leave out height and crf")

    @property
    def packed(self) -> Codec:
        """The codec, by default the format's own."""
        return self.codec or _DEFAULT[self.format]


class ThumbnailArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The args of `video.thumbnail`."""

    source: Video
    at_s: Annotated[
        Seconds | None, Meta(description="Where in the video; after a tenth of it.")
    ] = None
    size: Annotated[
        int, Meta(ge=16, le=4096, description="The longest edge, in pixels; never scaled up.")
    ] = 512
    format: Annotated[Picture, Meta(description="The format of the picture.")] = "jpeg"


class VideoConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[plugins.jobd-video]`."""

    max_pixels: Annotated[int, Meta(ge=1)] = 8192 * 4320
    """A video whose pictures have more is refused."""
    max_duration_s: Annotated[float, Meta(gt=0)] = 86_400.0
    """One that is longer is refused; if it does not say how long it is, so much is taken."""
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    """How many threads ffmpeg may use for packing; 0: as many as it likes."""
