"""Measure what the plugins cost beside the programs they run, or could be replaced by.

`python benchmarks/plugins.py [--quick]` alternates a job and the bare program, and compares the
medians: the time that a user waits, and the CPU time of everything that ran. Needs the plugins
jobd-import, jobd-ocr and jobd-video installed, tesseract, ffmpeg and sqlite3.
"""

import argparse
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
from PIL import Image, ImageDraw, ImageFont

from harness import Row, daemon, spread
from jobd_ocr.pdf_pages import opened
from jobd_video.args import TranscodeArgs, VideoConfig
from jobd_video.commands import transcoding
from jobd_video.progress import OPTIONS

WORDS = "The quick brown fox jumps over the lazy dog near the bank of the river at noon"
A4 = (1654, 2339)
DPI = 200


class Cost(NamedTuple):
    """What one run took."""

    wall_s: float
    cpu_s: float


class Sides(NamedTuple):
    """The runs of both."""

    jobs: list[Cost]
    bare: list[Cost]

    def row(self, what: str, budget: float | None) -> Row:
        """Return the line of the table; without a budget the ratio is only told."""
        ratios = [job.wall_s / bare.wall_s for job, bare in zip(*self, strict=True)]
        ratio = statistics.median(ratios)
        cpu = _median(self.jobs, "cpu_s") / _median(self.bare, "cpu_s")
        seconds = f"{_median(self.jobs, 'wall_s'):.2f} s of {_median(self.bare, 'wall_s'):.2f} s"
        return Row(
            what,
            f"{ratio:.3f} ({seconds}), CPU {cpu:.3f}",
            "told" if budget is None else f"≤ {budget:g}",
            budget is None or ratio <= budget,
            value=ratio,
            spread=spread(ratios),
            less=True,
        )


def _median(costs: list[Cost], name: str) -> float:
    return statistics.median([float(getattr(cost, name)) for cost in costs])


class House:
    """A daemon that opens files below one folder."""

    def __init__(self, folder: Path, socket: str, pid: int) -> None:
        self.folder = folder
        self._environ = os.environ | {"JOBD_SOCKET": socket}
        self._pid = pid

    def job(self, kind: str, args: dict[str, object]) -> Cost:
        """Submit a job as a user does, and wait for its end."""
        command = [sys.executable, "-m", "jobd", "submit", kind, json.dumps(args), "--wait"]
        before = _tree_s(self._pid)
        cost = bare(command, self._environ)
        return cost._replace(cpu_s=cost.cpu_s + _tree_s(self._pid) - before)

    def alternated(
        self, rounds: int, job: Callable[[int], Cost], program: Callable[[int], Cost]
    ) -> Sides:
        """Take turns; the first turn warms up and is not counted."""
        turns = [(job(number), program(number)) for number in range(rounds + 1)][1:]
        return Sides([mine for mine, _ in turns], [other for _, other in turns])


def bare(command: list[str], environ: dict[str, str] | None = None) -> Cost:
    """Run a program to its end."""
    before, began_s = _children_s(), time.perf_counter()
    done = subprocess.run(command, env=environ, capture_output=True, check=False)
    took_s = time.perf_counter() - began_s
    assert done.returncode == 0, done.stderr
    return Cost(took_s, _children_s() - before)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tree_s(pid: int) -> float:
    """Return the CPU time of a process, its children that ended, and those that run."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own_s = sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return own_s + sum(_tree_s(int(child)) for task in tasks for child in task.read_text().split())


def pages(house: House, rounds: int, count: int) -> Row:
    """Read dense pages of a PDF, against tesseract on the same pixels."""
    sheet = Image.new("L", A4, 255)
    font = ImageFont.load_default(size=34)
    for line in range(42):
        ImageDraw.Draw(sheet).text((140, 140 + 48 * line), f"{line} {WORDS}", font=font, fill=0)
    source = house.folder / "pages.pdf"
    others = [sheet] * (count - 1)
    sheet.save(source, save_all=True, append_images=others, resolution=DPI)
    files = [house.folder / f"page-{number}.tif" for number in range(count)]
    with opened(str(source), dpi=DPI, max_pixels=10**8, keep_text=False) as pdf:
        for number, file in enumerate(files):
            file.write_bytes(pdf.picture(number).tiff)
    environ = os.environ | {"OMP_THREAD_LIMIT": "1"}

    def alone(_: int) -> Cost:
        commands = [["tesseract", str(file), "stdout", "--dpi", str(DPI)] for file in files]
        costs = [bare(command, environ) for command in commands]
        return Cost(sum(cost.wall_s for cost in costs), sum(cost.cpu_s for cost in costs))

    sides = house.alternated(rounds, lambda _: house.job("ocr.pdf", {"source": str(source)}), alone)
    return sides.row(f"{count} pages of a scanned PDF read at {DPI} dpi, of tesseract alone", 1.1)


def transcode(house: House, rounds: int, seconds: int) -> Row:
    """Transcode a clip, against ffmpeg with the same options."""
    source, out = house.folder / "clip.mkv", house.folder / "out.mp4"
    pictures = ["-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=25:duration={seconds}"]
    packed = ["-c:v", "libx264", "-preset", "ultrafast", str(source)]
    bare(["ffmpeg", "-v", "error", "-nostdin", "-y", *pictures, *packed])
    args = TranscodeArgs(source=str(source), height=480)
    options = transcoding(args, VideoConfig(), str(source), out)[len(OPTIONS) :]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-nostats", *options]
    given = msgspec.to_builtins(args)
    sides = house.alternated(
        rounds, lambda _: house.job("video.transcode", given), lambda _: bare(command)
    )
    return sides.row(f"a transcode of {seconds} s of 720p, of ffmpeg alone", 1.02)


def imported(house: House, rounds: int, rows: int) -> Row:
    """Import a CSV file into a new table, against the sqlite3 shell."""
    source = house.folder / "rows.csv"
    with source.open("w") as file:
        file.write("id,name,email,score\n")
        file.writelines(f"{n},name {n},n{n}@example.com,{n / 7:.3f}\n" for n in range(rows))

    def job(number: int) -> Cost:
        database = house.folder / f"job-{number}.db"
        args = {"source": str(source), "database": str(database), "table": "t"}
        return _checked(house.job("import.csv", dict(args)), database, rows)

    def shell(number: int) -> Cost:
        database = house.folder / f"shell-{number}.db"
        cost = bare(["sqlite3", str(database), f".import --csv {source} t"])
        return _checked(cost, database, rows)

    sides = house.alternated(rounds, job, shell)
    return sides.row(f"import.csv --wait of {rows:,} rows, of the sqlite3 shell's .import", None)


def _checked(cost: Cost, database: Path, rows: int) -> Cost:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (rows,)
    database.unlink()
    return cost


def measured(*, quick: bool) -> Iterator[Row]:
    """Yield the three lines."""
    with tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch:
        folder = Path(scratch)
        allowed = {"JOBD_FILES_ALLOW_PATHS": scratch}
        with daemon(folder, **allowed) as (socket, pid):
            house = House(folder, socket, pid)
            yield pages(house, 3 if quick else 7, 2 if quick else 8)
            yield transcode(house, 2 if quick else 5, 5 if quick else 60)
            yield imported(house, 2 if quick else 5, 50_000 if quick else 1_000_000)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    for row in measured(quick=parser.parse_args().quick):
        print(
            f"| {row.what} | {row.measured} | {row.budget} | {'met' if row.met else 'MISSED'} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
