"""Make small clips with ffmpeg's own test pictures, and look at what came of them."""

import json
import subprocess
from pathlib import Path
from typing import Any

SECONDS = 2


def clip(path: Path, *options: str, seconds: float = SECONDS, size: str = "160x120") -> Path:
    """Make a clip with a picture that moves and a tone; `options` say how it is packed."""
    pictures = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration={seconds}"]
    tone = ["-f", "lavfi", "-i", f"sine=duration={seconds}"]
    packed = options or ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    ffmpeg(*pictures, *tone, *packed, str(path))
    return path


def endless(path: Path) -> Path:
    """Make a clip that does not say how long it is, as a live recording."""
    whole = clip(path.with_suffix(".mp4"))
    with path.open("wb") as file:
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            str(whole),
            "-c",
            "copy",
            "-f",
            "matroska",
            "pipe:1",
        ]
        subprocess.run(command, stdout=file, stdin=subprocess.DEVNULL, check=True)
    return path


def ffmpeg(*options: str) -> None:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *options]
    subprocess.run(command, check=True, capture_output=True)


def looked_at(path: Path) -> dict[str, Any]:
    """Return the streams by type, and the format."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {stream["codec_type"]: stream for stream in shown["streams"]} | {
        "seconds": float(shown["format"].get("duration", 0)),
        "name": shown["format"]["format_name"],
    }
