"""The lines of the plugins' READMEs, run as they stand; only their folders differ."""

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.e2e.conftest import JOBD, Daemon

PLUGINS = Path(__file__).parents[2] / "plugins"


def letters(folder: Path) -> None:
    page = Image.new("L", (900, 300), 255)
    font = ImageFont.load_default(size=48)
    ImageDraw.Draw(page).text((80, 100), "Invoice number 20417", font=font, fill=0)
    for name in ("letter.pdf", "page.png"):
        page.save(folder / name, dpi=(200, 200), resolution=200)


def videos(folder: Path) -> None:
    made = ["-f", "lavfi", "-i", "testsrc2=size=640x480:duration=2", str(folder / "clip.mov")]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *made], check=True, capture_output=True)


def shop(folder: Path) -> None:
    (folder / "items.csv").write_text("name,price\nTea,4.10\n")
    with closing(sqlite3.connect(folder / "shop.db")) as database, database:
        database.execute("CREATE TABLE items (name TEXT, price REAL)")
        database.execute("INSERT INTO items VALUES ('Coffee', 15.8), ('Water', 0.1)")


@pytest.mark.needs("curl")
@pytest.mark.parametrize(
    ("plugin", "folder", "make", "expected"),
    [
        pytest.param(
            "jobd-ocr",
            "/srv/scans",
            letters,
            ["Invoice number 20417", '"layout":"block"'],
            marks=pytest.mark.needs("tesseract"),
        ),
        pytest.param(
            "jobd-video",
            "/srv/videos",
            videos,
            ["small.mp4", '"filename":"thumbnail.jpeg"'],
            marks=pytest.mark.needs("ffmpeg", "ffprobe"),
        ),
        ("jobd-report", "/srv/shop", shop, ['"totals":{"price":"15.8"}', '"rows":1']),
    ],
)
def test_the_lines_of_a_readme_work_as_they_stand(
    daemon: Daemon, plugin: str, folder: str, make: Callable[[Path], None], expected: list[str]
) -> None:
    make(daemon.folder)
    script = "\n".join(lines(plugin)).replace("/tmp/jobd/jobd.sock", daemon.socket)  # noqa: S108 - the README's
    script = script.replace(folder, str(daemon.folder)) + "\nls"
    path = f"{Path(JOBD).parent}:{Path(shutil.which('curl') or '').parent}:/usr/bin:/bin"

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=daemon.environ | {"PATH": path},
        cwd=daemon.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert [word for word in expected if word not in said] == [], said
    assert said.count('"status":"completed"') == 1, said


def lines(plugin: str) -> list[str]:
    """Return the commands under "Use it"."""
    section = (PLUGINS / plugin / "README.md").read_text().split("\n## Use it\n")[1]
    found: list[str] = re.findall(r"```sh\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    assert [line.split()[0] for line in found] == ["jobd", "curl"]
    return found
