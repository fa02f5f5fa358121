"""video.transcode: what comes out, what it says on the way, and what it refuses to read."""

import os
from pathlib import Path
from typing import Any

import pytest

from jobd.sdk.testing import Outcome, run_handler
from jobd_video.handlers import transcode

from .clips import SECONDS, clip, endless, ffmpeg, looked_at

pytestmark = pytest.mark.needs("ffmpeg", "ffprobe")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clips") / "clip.mov")


def made(source: Path, config: Any = None, **args: Any) -> Outcome:
    given = {"source": str(source), "speed": "fast", **args}
    return run_handler(transcode, given, config=config)


def video(outcome: Outcome) -> dict[str, Any]:
    assert outcome.status == "completed", outcome.error
    return looked_at(outcome.result)


def assert_refused(outcome: Outcome, code: str, step: str | None) -> None:
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.failed_step) == (code, step)
    assert not outcome.error.retryable


@pytest.mark.parametrize(
    ("args", "name", "codec", "sound"),
    [
        ({}, "mp4", "h264", "aac"),
        ({"format": "webm"}, "webm", "vp9", "opus"),
        ({"format": "mkv", "codec": "h265"}, "matroska", "hevc", "aac"),
        ({"format": "mp4", "codec": "av1", "crf": 50}, "mp4", "av1", "aac"),
        ({"format": "mkv", "codec": "copy"}, "matroska", "h264", "aac"),
    ],
)
def test_each_format_and_codec(
    source: Path, args: dict[str, str], name: str, codec: str, sound: str
) -> None:
    outcome = made(source, duration_s=0.4, **args)

    found = video(outcome)
    assert name in found["name"]
    assert (found["video"]["codec_name"], found["audio"]["codec_name"]) == (codec, sound)
    assert outcome.result.name == f"video.{args.get('format', 'mp4')}"


def test_it_is_scaled_and_cut_and_made_silent(source: Path) -> None:
    found = video(made(source, height=60, start_s=0.5, duration_s=1, audio="none"))

    assert (found["video"]["width"], found["video"]["height"]) == (80, 60)
    assert found["seconds"] == pytest.approx(1, abs=0.1)
    assert "audio" not in found


def test_it_is_never_scaled_up_and_odd_edges_become_even(tmp_path: Path) -> None:
    odd = clip(tmp_path / "odd.mkv", "-c:v", "ffv1", size="161x121", seconds=0.2)

    plain, scaled = video(made(odd))["video"], video(made(odd, height=1080))["video"]

    assert (plain["width"], plain["height"]) == (160, 120)
    assert (scaled["width"], scaled["height"]) == (160, 120)


def test_progress_is_in_time_and_never_goes_back(tmp_path: Path) -> None:
    long = clip(tmp_path / "long.mp4", seconds=8, size="320x240")

    outcome = made(long, speed="medium")

    shown = [report for report in outcome.progress if report.done is not None]
    assert [report.pct for report in shown] == sorted(report.pct or 0 for report in shown)
    assert [report.done for report in shown] == sorted(report.done or 0 for report in shown)
    assert {report.total for report in shown} == {round(looked_at(long)["seconds"] * 1000)}
    assert {report.step for report in shown[:-1]} == {"transcode"}
    assert shown[-1].pct == 100
    assert any(" left" in (report.message or "") for report in shown)


def test_without_a_known_end_there_is_no_percentage(tmp_path: Path) -> None:
    outcome = made(endless(tmp_path / "live.mkv"))

    working = [report for report in outcome.progress if report.done]
    assert video(outcome)["seconds"] == pytest.approx(SECONDS, abs=0.2)
    assert working[0].total is None
    assert {report.pct for report in working[:-1]} <= {None}


def test_a_video_without_sound_stays_without(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64:duration=0.2", str(tmp_path / "mute.mp4"))

    assert "audio" not in video(made(tmp_path / "mute.mp4"))


def crafted(folder: Path) -> dict[str, str]:
    """Return files that name another, in words that ffmpeg follows if it may."""
    secret = folder / "secret.mp4"
    clip(secret, seconds=0.2)
    return {
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "http.mp4": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "concat.avi": f"ffconcat version 1.0\nfile {secret}\n",
        "sdp.mov": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "dash.mp4": f'<?xml version="1.0"?><MPD type="static"><BaseURL>{secret}</BaseURL></MPD>',
    }


@pytest.mark.parametrize("name", ["hls.mp4", "http.mp4", "concat.avi", "sdp.mov", "dash.mp4"])
def test_a_file_that_names_another_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(crafted(tmp_path)[name])

    outcome = made(tmp_path / name)

    assert_refused(outcome, "not_a_video", "probe")
    assert outcome.artifacts == {}


@pytest.mark.parametrize("content", [b"", b"no video at all\n" * 100])
def test_what_is_no_video_says_so_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.mp4").write_bytes(content)

    outcome = made(tmp_path / "bad.mp4")

    assert_refused(outcome, "not_a_video", "probe")
    assert outcome.error is not None
    assert "bad.mp4: Invalid data found" in outcome.error.message
    assert "/proc/" not in outcome.error.message


def test_a_song_with_a_cover_is_no_video(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", str(tmp_path / "song.mp3"))

    assert_refused(made(tmp_path / "song.mp3"), "not_a_video", "probe")


def test_an_error_of_ffmpeg_shows_its_last_lines(tmp_path: Path) -> None:
    source = clip(tmp_path / "theora.ogg", "-c:v", "libtheora", "-c:a", "libvorbis", seconds=0.2)

    outcome = made(source, codec="copy", audio="none")

    assert_refused(outcome, "transcode_failed", "transcode")
    assert outcome.error is not None
    assert "Could not find tag for codec theora" in outcome.error.message


@pytest.mark.parametrize(
    ("args", "config", "code", "step"),
    [
        ({"start_s": 3}, {}, "start_behind_end", None),
        ({}, {"max_pixels": 100}, "video_too_large", "probe"),
        ({}, {"max_duration_s": 1.0}, "video_too_long", "probe"),
        ({"format": "webm", "codec": "h264"}, {}, "args_invalid", None),
        ({"codec": "copy", "height": 100}, {}, "args_invalid", None),
        ({"height": 101}, {}, "args_invalid", None),
        ({"crf": 64}, {}, "args_invalid", None),
        ({"codec": "rawvideo"}, {}, "args_invalid", None),
    ],
)
def test_bounds(
    source: Path, args: dict[str, Any], config: dict[str, Any], code: str, step: str | None
) -> None:
    assert_refused(made(source, config, **args), code, step)


def test_a_source_that_is_no_file_has_a_code(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert_refused(made(tmp_path / "fifo"), "source_unreadable", "probe")
    assert_refused(made(tmp_path), "source_unreadable", "probe")
    assert_refused(made(tmp_path / "nothing"), "source_not_found", "probe")
    outside = run_handler(transcode, {"source": "/etc/passwd"}, allow_paths=[str(tmp_path)])
    assert_refused(outside, "path_not_allowed", "probe")


def test_without_ffmpeg_its_package_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    outcome = made(source)

    assert_refused(outcome, "program_missing", "probe")
    assert outcome.error is not None
    assert "Debian's package ffmpeg" in outcome.error.message
