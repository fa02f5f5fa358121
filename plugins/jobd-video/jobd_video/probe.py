"""What a file is, as ffprobe says; refused here what is no video, or too large, or too long."""

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from jobd.sdk import Context, Discard
from jobd_video.ffmpeg import read_options, run
from jobd_video.source import Source

if TYPE_CHECKING:
    from jobd_video.args import VideoConfig

_SHOWN = "format=duration:stream=codec_type,width,height,duration:stream_disposition=attached_pic"


class _Disposition(msgspec.Struct, frozen=True):
    attached_pic: int = 0


class _Stream(msgspec.Struct, frozen=True):
    codec_type: str = ""
    width: int = 0
    height: int = 0
    duration: str | None = None
    disposition: _Disposition = _Disposition()


class _Format(msgspec.Struct, frozen=True):
    duration: str | None = None


class _Probed(msgspec.Struct, frozen=True):
    streams: Annotated[list[_Stream], Meta(max_length=1000)] = []
    format: _Format = _Format()


class Found(msgspec.Struct, frozen=True):
    """What is known of a video."""

    duration_s: float | None
    """None if the file does not say."""


def probe(ctx: Context, source: Source) -> Found:
    """Look at a file; Discard with `not_a_video`, `video_too_large` or `video_too_long`."""
    limit: VideoConfig = ctx.config
    lines: list[str] = []

    def heard(stream: str, line: str) -> bool:
        if stream == "stdout":
            lines.append(line)
        return True  # what is wrong with it is in the error

    options = [*read_options(limit.max_pixels), "-show_entries", _SHOWN, "-of", "json"]
    run(ctx, "ffprobe", [*options, source.url], source, heard)
    probed = msgspec.json.decode("\n".join(lines), type=_Probed)
    pictures = [one for one in probed.streams if one.codec_type == "video"]
    moving = [one for one in pictures if not one.disposition.attached_pic]
    if not moving:  # the cover of a song is no video
        raise Discard(code="not_a_video", message=f"{source.name} has no moving pictures.")
    width, height = moving[0].width, moving[0].height
    if width * height > limit.max_pixels:
        message = f"Its pictures have {width} x {height} pixels; {limit.max_pixels} are allowed."
        raise Discard(code="video_too_large", message=message)
    duration_s = _seconds(probed.format.duration) or _seconds(moving[0].duration)
    if duration_s is not None and duration_s > limit.max_duration_s:
        message = f"It lasts {duration_s:.0f} s; {limit.max_duration_s:.0f} s are allowed."
        raise Discard(code="video_too_long", message=message)
    return Found(duration_s)


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:  # "N/A"
        return None
    return seconds if 0 < seconds < float("inf") else None
