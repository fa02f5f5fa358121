"""video.thumbnail: one picture, of the moment that was asked for."""

from pathlib import Path
from typing import Any

import pytest

from jobd.sdk.testing import Outcome, run_handler
from jobd_video.handlers import thumbnail

from .clips import clip, endless, ffmpeg, looked_at

pytestmark = pytest.mark.needs("ffmpeg", "ffprobe")


def taken(source: Path, **args: Any) -> Outcome:
    outcome = run_handler(thumbnail, {"source": str(source), **args})
    assert outcome.status == "completed", outcome.error
    return outcome


@pytest.mark.parametrize(
    ("form", "codec", "magic"),
    [("jpeg", "mjpeg", b"\xff\xd8"), ("png", "png", b"\x89PNG"), ("webp", "webp", b"RIFF")],
)
def test_each_format(tmp_path: Path, form: str, codec: str, magic: bytes) -> None:
    outcome = taken(clip(tmp_path / "a%d.mp4"), format=form, size=100)

    assert outcome.result.name == f"thumbnail.{form}"
    assert outcome.result.read_bytes().startswith(magic)
    assert looked_at(outcome.result)["video"]["codec_name"] == codec
    assert looked_size(outcome.result) == (100, 75)


def test_the_longest_edge_counts_and_nothing_is_scaled_up(tmp_path: Path) -> None:
    high = clip(tmp_path / "high.mp4", size="60x120", seconds=0.2)

    small, large = taken(high, size=60), taken(high)

    assert (looked_size(small.result), looked_size(large.result)) == ((30, 60), (60, 120))


def test_the_moment_counts(tmp_path: Path) -> None:
    """The first second is red, the second blue."""
    red, blue = ("color=red:duration=1:size=32x32", "color=blue:duration=1:size=32x32")
    joined = f"{red}[a];{blue}[b];[a][b]concat"
    ffmpeg("-f", "lavfi", "-i", joined, "-c:v", "ffv1", str(tmp_path / "two.mkv"))

    first, second = (taken(tmp_path / "two.mkv", at_s=at_s, format="png") for at_s in (0, 1.5))

    (is_red, _, not_blue), (not_red, _, is_blue) = pixel(first.result), pixel(second.result)
    assert is_red > 200 > not_blue
    assert is_blue > 200 > not_red


def test_a_video_that_does_not_say_how_long_it_is_has_a_first_picture(tmp_path: Path) -> None:
    outcome = taken(endless(tmp_path / "live.mkv"))

    assert looked_size(outcome.result) == (160, 120)


def test_behind_the_end_there_is_no_picture(tmp_path: Path) -> None:
    args = {"source": str(clip(tmp_path / "a.mp4", seconds=0.2)), "at_s": 100}

    error = run_handler(thumbnail, args).error

    assert error is not None
    assert (error.code, error.failed_step, error.retryable) == ("no_picture", "thumbnail", False)


def looked_size(path: Path) -> tuple[int, int]:
    found = looked_at(path)["video"]
    return found["width"], found["height"]


def pixel(path: Path) -> tuple[int, int, int]:
    raw = path.with_suffix(".rgb")
    ffmpeg("-i", str(path), "-pix_fmt", "rgb24", "-f", "rawvideo", str(raw))
    red, green, blue = raw.read_bytes()[:3]
    return red, green, blue
