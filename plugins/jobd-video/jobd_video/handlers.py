"""The handlers: `video.transcode` and `video.thumbnail`."""

from contextlib import ExitStack
from pathlib import Path

from jobd.sdk import Context, Discard, handler
from jobd_video import commands
from jobd_video.args import ThumbnailArgs, TranscodeArgs, VideoConfig
from jobd_video.ffmpeg import run
from jobd_video.probe import Found, probe
from jobd_video.progress import Progress
from jobd_video.source import Source, opened

_PROGRAMS = {"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg"}
_TRANSCODE_TIMEOUT_S = 6 * 3600.0
_THUMBNAIL_TIMEOUT_S = 600.0
_AFTER = 0.1
"""Where a thumbnail is taken from: the first pictures are often black."""


@handler(args=TranscodeArgs, config=VideoConfig, timeout_s=_TRANSCODE_TIMEOUT_S, programs=_PROGRAMS)
def transcode(ctx: Context, args: TranscodeArgs) -> Path:
    """Pack a video anew, or a part of it; the result is the file `video.FORMAT`."""
    with ExitStack() as files:
        source, found = _looked_at(ctx, files, args)
        total_s = _total_s(args, found)
        out = ctx.artifact(f"video.{args.format}")
        progress = Progress(ctx, total_s)
        with ctx.step("transcode", 2, 2):
            options = commands.transcoding(args, ctx.config, source.url, out)
            run(ctx, "ffmpeg", options, source, progress.heard)
            ctx.progress(pct=100)
    return out


@handler(args=ThumbnailArgs, config=VideoConfig, timeout_s=_THUMBNAIL_TIMEOUT_S, programs=_PROGRAMS)
def thumbnail(ctx: Context, args: ThumbnailArgs) -> Path:
    """Take one picture from a video; the result is the file `thumbnail.FORMAT`."""
    with ExitStack() as files:
        source, found = _looked_at(ctx, files, args)
        at_s = (found.duration_s or 0.0) * _AFTER if args.at_s is None else args.at_s
        out = ctx.artifact(f"thumbnail.{args.format}")
        with ctx.step("thumbnail", 2, 2):
            options = commands.picturing(args, ctx.config, at_s, source.url, out)
            run(ctx, "ffmpeg", options, source, lambda *_: False)
            if not out.exists():
                raise Discard(code="no_picture", message=f"There is no picture at {at_s:g} s.")
    return out


def _looked_at(
    ctx: Context, files: ExitStack, args: TranscodeArgs | ThumbnailArgs
) -> tuple[Source, Found]:
    with ctx.step("probe", 1, 2):
        source = files.enter_context(opened(ctx, args.source))
        return source, probe(ctx, source)


def _total_s(args: TranscodeArgs, found: Found) -> float | None:
    """Return how long the result will be, if that is known."""
    if found.duration_s is None:
        return args.duration_s
    left_s = found.duration_s - args.start_s
    if left_s <= 0:
        message = f"It lasts {found.duration_s:g} s, and start_s is {args.start_s:g}."
        raise Discard(code="start_behind_end", message=message)
    return left_s if args.duration_s is None else min(left_s, args.duration_s)
