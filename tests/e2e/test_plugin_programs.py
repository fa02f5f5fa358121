"""The plugins that run programs, from the command line: a moving bar, and a cancel."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.e2e.conftest import Daemon
from tests.e2e.test_cli_live import Terminal, painting

INTERRUPTED, ENDED_OTHERWISE = 130, 7
PAGES = 40
WORDS = "The quick brown fox"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video that takes long to be packed well."""
    path = tmp_path / "long.mkv"
    pictures = ["-f", "lavfi", "-i", "testsrc2=size=640x480:rate=25:duration=60"]
    packed = ["-c:v", "libx264", "-preset", "ultrafast"]
    command = ["ffmpeg", "-v", "error", "-nostdin", *pictures, *packed, str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """A PDF of many pages."""
    font = ImageFont.load_default(size=48)
    pages = [Image.new("L", (640, 200), 255) for _ in range(PAGES)]
    for page in pages:
        ImageDraw.Draw(page).text((60, 60), WORDS, font=font, fill=0)
    pages[0].save(tmp_path / "a.pdf", save_all=True, append_images=pages[1:], resolution=200)
    return tmp_path / "a.pdf"


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def begun(
    daemon: Daemon, terminal: Terminal, until: str, kind: str, **args: str
) -> tuple[str, list[int]]:
    """Submit a job and watch its bar up to a message; return its id and the percentages."""
    command = ("submit", kind, json.dumps(args), "--wait")
    with painting(daemon, terminal, "stderr", *command) as process:
        terminal.until(until)
        process.send_signal(signal.SIGINT)
    assert process.returncode == INTERRUPTED
    job_id = daemon.jobd("ls", "-o", "name").stdout.strip()
    return job_id, terminal.percentages


def running(daemon: Daemon, program: str) -> list[int]:
    """Return the ids of the processes of a program that descend from this daemon."""
    home = f"HOME={daemon.folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            name = (process / "exe").readlink().name
            if name == program and home in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


@pytest.mark.needs("ffmpeg", "ffprobe")
def test_a_transcode_cancelled_half_way_leaves_no_ffmpeg(
    daemon: Daemon, terminal: Terminal, video: Path
) -> None:
    args = {"source": str(video), "codec": "h265", "speed": "slow"}
    job_id, shown = begun(daemon, terminal, "of 60.0 s", "video.transcode", **args)
    assert shown == sorted(shown)
    assert len(running(daemon, "ffmpeg")) == 1

    daemon.jobd("cancel", job_id)
    assert daemon.jobd("wait", job_id).returncode == ENDED_OTHERWISE

    assert json.loads(daemon.jobd("show", job_id, "-o", "json").stdout)["status"] == "cancelled"
    assert running(daemon, "ffmpeg") == []


@pytest.mark.needs("tesseract")
def test_reading_cancelled_half_way_leaves_no_tesseract(
    daemon: Daemon, terminal: Terminal, letter: Path
) -> None:
    job_id, shown = begun(daemon, terminal, "page 2", "ocr.pdf", source=str(letter))
    assert shown == sorted(shown)

    daemon.jobd("cancel", job_id)
    assert daemon.jobd("wait", job_id).returncode == ENDED_OTHERWISE

    assert running(daemon, "tesseract") == []
