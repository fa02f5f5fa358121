"""ffmpeg and ffprobe: how they are run, and what becomes of their errors.

Invariant: of all files they open the one they are given. Formats that name other files (HLS,
concat, DASH, SDP and so on) are not on the list of what may be read, whatever a file is called.
"""

import shutil
import subprocess
from collections.abc import Callable, Sequence

from jobd.sdk import Context, Discard, Retry
from jobd_video.source import Source

FORMATS = (
    "3gp,aac,asf,avi,dv,flac,flv,gif,ivf,m4a,m4v,matroska,mj2,mov,mp3,mp4,mpeg,mpegts,mxf,nut,ogg,"
    "wav,webm"
)
"""What is read, by ffmpeg's names."""

_TOLD_TO_END = 255
"""ffmpeg's exit code after a SIGTERM."""
_MESSAGE_LINES = 8

OnLine = Callable[[str, str], bool | None]


def read_options(max_pixels: int) -> list[str]:
    """Return what must stand before each file that is read."""
    whitelists = ["-protocol_whitelist", "file", "-format_whitelist", FORMATS]
    return [*whitelists, "-max_pixels", str(max_pixels)]


def run(
    ctx: Context, program: str, options: Sequence[str], source: Source, on_line: OnLine
) -> None:
    """Run one of the two; it ends with the job.

    Raises Discard with `program_missing` or `not_a_video` (ffprobe) or `transcode_failed`
    (ffmpeg) and the last lines of its stderr; Retry when it was killed or the disk is full.
    """
    if shutil.which(program) is None:
        message = f"There is no program {program}: install Debian's package ffmpeg."
        raise Discard(code="program_missing", message=message)
    try:
        ctx.subprocess([program, "-hide_banner", "-v", "error", *options], on_line=on_line)
    except subprocess.CalledProcessError as exc:
        raise _error(program, exc, source) from None


def _error(program: str, exc: subprocess.CalledProcessError, source: Source) -> Exception:
    said = str(exc.stderr).replace(source.url, source.name).replace("file:", "")
    lines = "\n".join(said.splitlines()[-_MESSAGE_LINES:])
    if exc.returncode < 0 or exc.returncode == _TOLD_TO_END:
        return Retry(code="ffmpeg_killed", message=f"{program} was killed. {lines}".strip())
    if "No space left on device" in said:
        return Retry(code="disk_full", message=f"{program}: {lines}")
    if "exceeds specified max pixel count" in said:
        return Discard(code="video_too_large", message=f"max_pixels is less: {lines}")
    if program == "ffprobe":
        message = f"{source.name} is no video that is read here: {lines}"
        return Discard(code="not_a_video", message=message)
    return Discard(code="transcode_failed", message=f"ffmpeg ended with an error: {lines}")
