"""`jobd demo`: its figures follow its input, and it leaves nothing behind.

The plugins jobd-import and jobd-thumbs are installed here: the picture is one job more.
"""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

JOBD = str(Path(sys.executable).parent / "jobd")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An empty HOME, and a place for temporary files of the test's own."""
    (tmp_path / "t").mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("JOBD_")}
    return clean | {"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "t")}


@pytest.fixture
def demo(environ: dict[str, str]) -> Run:
    """Run the demo to its end."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [JOBD, "demo", *arguments], env=environ, capture_output=True, text=True, check=False
        )

    return run


def figures(output: str) -> dict[str, str]:
    """Return the table of figures: what to value."""
    rows = re.findall(
        r"^(\S[\w ]+?) {2,}(\S+(?: s)?)  (?:GET|POST|sum|select|started)", output, re.MULTILINE
    )
    return dict(rows)


def left_behind(environ: dict[str, str]) -> list[str]:
    """Return the temporary files, and the processes that were started with this environment."""
    mark = f"TMPDIR={environ['TMPDIR']}".encode()
    processes = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/environ")
        if readable(path) and mark in path.read_bytes().split(b"\0")
    ]
    return processes + [str(path) for path in Path(environ["TMPDIR"]).iterdir()]


def readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def test_the_demo_imports_what_is_installed(demo: Run, environ: dict[str, str]) -> None:
    done = demo()

    assert done.returncode == 0, done.stderr
    told = figures(done.stdout)
    assert int(told["rows imported"].replace(",", "")) > 1000
    assert told["rows in table files"] == told["rows imported"]
    assert int(told["rows rejected"].replace(",", "")) > 0
    assert "Rejected rows of " in done.stdout
    assert told["callbacks verified"] == told["jobs completed"]
    assert left_behind(environ) == []


def test_the_demo_shows_how_a_job_went_and_its_picture_upright(demo: Run, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n2\n")

    told = demo(tmp_path / "in.csv").stdout

    assert re.search(r"job\.queued\n.*job\.processing\n.*job\.completed\n", told)
    assert "log: INFO t_in: 2 rows imported, 0 rejected" in told
    line = r"^thumb-\d+\.png +(\d+) x (\d+) .*  red green blue yellow  GET"
    shown = re.findall(line, told, re.MULTILINE)
    assert shown == [("96", "64"), ("240", "160")]


def test_other_input_gives_other_figures(demo: Run, tmp_path: Path) -> None:
    few, many = tmp_path / "few.csv", tmp_path / "many.csv"
    few.write_text("name,size\na,1\nb,2\n")
    many.write_text("name,size\n" + "x,1\n" * 57 + "too,many,cells\n")

    first, second = figures(demo(few).stdout), figures(demo(many).stdout)

    assert (first["rows imported"], first["rows in table t_few"]) == ("2", "2")
    assert (second["rows imported"], second["rows in table t_many"]) == ("57", "57")
    assert (first["rows rejected"], second["rows rejected"]) == ("0", "1")
    assert first["bytes"] == str(few.stat().st_size)
    assert second["bytes"] == str(many.stat().st_size)


def test_several_files_go_into_a_table_each(demo: Run, tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("a\n1\n")
    two.write_text("b,c\n1,2\n3,4\n")

    told = figures(demo(one, two).stdout)

    assert (told["jobs completed"], told["callbacks verified"]) == ("3", "3")
    assert (told["rows in table t_one"], told["rows in table t_two"]) == ("1", "2")


def test_a_file_that_is_no_csv_is_no_success(
    demo: Run, tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "bad.csv").write_bytes(b"a,b\n" + bytes(range(256)) * 4)

    done = demo(tmp_path / "bad.csv")

    assert done.returncode == 1
    assert "failed" in done.stderr
    assert left_behind(environ) == []


def test_a_kept_demo_can_be_served_again(demo: Run, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n")

    done = demo("--keep", tmp_path / "in.csv")

    folder = Path(re.findall(r"^Kept: (\S+)\. ", done.stdout, re.MULTILINE)[0])
    assert f"serve --config {folder}/jobd.toml" in done.stdout
    assert {"demo.db", "jobd.toml", "state", "daemon.log"} <= {
        path.name for path in folder.iterdir()
    }


@pytest.mark.needs("curl")
def test_the_commands_to_go_on_by_hand_work(
    demo: Run, tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "it's.csv").write_text("a\n1\n")
    told = demo(tmp_path / "it's.csv").stdout
    serve, *others = re.findall(r"^  (.+)$", told.partition("Go on by hand:")[2], re.MULTILINE)
    serve = f"exec env {serve.removesuffix(' &')}"

    with subprocess.Popen(
        ["bash", "-c", serve], env=environ, stderr=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stderr is not None
        while not daemon.stderr.readline().startswith("jobd is ready"):
            pass
        ended = [
            subprocess.run(["bash", "-c", line], env=environ, stdout=subprocess.PIPE, check=True)
            for line in others[:-1]
        ]
        daemon.terminate()
        daemon.communicate()

    assert others[-1] == "kill $!"
    assert json.loads(ended[0].stdout)["rows_imported"] == 1
    assert json.loads(ended[2].stdout)["result"]["rows_imported"] == 1
    assert len(json.loads(ended[3].stdout)["jobs"]) == 2
    assert b"free slots" in ended[4].stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, environ: dict[str, str], number: signal.Signals
) -> None:
    (tmp_path / "in.csv").write_text("a,b\n" + "1,2\n" * 2_000_000)
    ours, theirs = pty.openpty()
    with subprocess.Popen([JOBD, "demo", tmp_path / "in.csv"], env=environ, stderr=theirs) as demo:
        os.close(theirs)
        while b"] " not in os.read(ours, 4096):  # the bar: the daemon runs the job
            pass
        demo.send_signal(number)
        demo.wait()
    os.close(ours)

    assert demo.returncode == 130
    assert left_behind(environ) == []
