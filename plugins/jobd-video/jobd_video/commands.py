"""What ffmpeg is told, from checked args.

Not here: how it is run (ffmpeg.py).
"""

from pathlib import Path

from jobd_video.args import Codec, Format, Picture, Speed, ThumbnailArgs, TranscodeArgs, VideoConfig
from jobd_video.ffmpeg import read_options
from jobd_video.progress import OPTIONS

_MUXERS: dict[Format, str] = {"mp4": "mp4", "webm": "webm", "mkv": "matroska"}
_SOUND: dict[Format, tuple[str, ...]] = {
    "mp4": ("aac", "-b:a", "128k"),
    "webm": ("libopus", "-b:a", "96k"),
    "mkv": ("aac", "-b:a", "128k"),
}
_CRF: dict[Codec, int] = {"h264": 23, "h265": 28, "vp9": 32, "av1": 35}
_X26X: dict[Speed, str] = {"fast": "veryfast", "medium": "medium", "slow": "slow"}
_VP9: dict[Speed, str] = {"fast": "5", "medium": "3", "slow": "1"}
_AV1: dict[Speed, str] = {"fast": "10", "medium": "8", "slow": "5"}
_ENCODERS: dict[Codec, tuple[str, str, dict[Speed, str]]] = {
    "h264": ("libx264", "-preset", _X26X),
    "h265": ("libx265", "-preset", _X26X),
    "vp9": ("libvpx-vp9", "-cpu-used", _VP9),
    "av1": ("libsvtav1", "-preset", _AV1),
}
_PICTURES: dict[Picture, tuple[str, ...]] = {
    "jpeg": ("mjpeg", "-q:v", "3"),
    "png": ("png",),
    "webp": ("libwebp", "-quality", "80"),
}


def transcoding(args: TranscodeArgs, config: VideoConfig, url: str, out: Path) -> list[str]:
    """Return the options that make `out` from a video."""
    taken_s = config.max_duration_s if args.duration_s is None else args.duration_s
    start = ["-ss", f"{args.start_s:.3f}"] if args.start_s else []
    sound = ["-an"] if args.audio == "none" else ["-map", "0:a:0?", "-c:a", *_SOUND[args.format]]
    if args.packed == "copy" and args.audio == "keep":
        sound = ["-map", "0:a:0?", "-c:a", "copy"]
    return [
        *OPTIONS,
        *start,
        *read_options(config.max_pixels),
        *("-t", f"{taken_s:.3f}"),
        *("-i", url),
        *("-map", "0:V:0"),  # V: not the cover picture
        *_pictures(args, config),
        *sound,
        *("-sn", "-dn"),
        *(("-movflags", "+faststart") if args.format == "mp4" else ()),
        *("-f", _MUXERS[args.format]),
        *("-y", f"file:{out}"),
    ]


def picturing(
    args: ThumbnailArgs, config: VideoConfig, at_s: float, url: str, out: Path
) -> list[str]:
    """Return the options that make `out` from one moment of a video."""
    size = args.size
    scale = f"scale=w='if(gte(iw,ih),min({size},iw),-1)':h='if(gte(iw,ih),-1,min({size},ih))'"
    return [
        "-nostdin",
        *("-ss", f"{at_s:.3f}"),
        *read_options(config.max_pixels),
        *("-i", url),
        *("-map", "0:V:0", "-frames:v", "1", "-vf", scale),
        *("-c:v", *_PICTURES[args.format]),
        *("-map_metadata", "-1"),
        *("-f", "image2", "-update", "1"),  # the name is no pattern
        *("-y", f"file:{out}"),
    ]


def _pictures(args: TranscodeArgs, config: VideoConfig) -> list[str]:
    codec = args.packed
    if codec == "copy":
        return ["-c:v", "copy"]
    encoder, option, speeds = _ENCODERS[codec]
    crf = _CRF[codec] if args.crf is None else args.crf
    # half the colours of an odd row cannot be kept: both edges are made even
    height = "trunc(ih/2)*2" if args.height is None else f"min({args.height},trunc(ih/2)*2)"
    width = "trunc(iw/2)*2" if args.height is None else "-2"
    return [
        *("-vf", f"scale=w='{width}':h='{height}'"),
        *("-c:v", encoder, option, speeds[args.speed], "-crf", str(crf), "-pix_fmt", "yuv420p"),
        *(("-b:v", "0", "-row-mt", "1") if codec == "vp9" else ()),
        *(("-tag:v", "hvc1") if codec == "h265" and args.format == "mp4" else ()),
        *(("-x265-params", "log-level=error") if codec == "h265" else ()),
        *(("-threads", str(config.threads)) if config.threads else ()),
    ]
