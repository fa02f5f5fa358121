"""The benchmarks' own arithmetic; what they measure is measured by running them."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def report() -> ModuleType:
    return importlib.import_module("report")


def row(value: float, *, less: bool = False, what: str = "speed", spread: float = 0.0) -> object:
    harness = importlib.import_module("harness")
    return harness.Row(what, f"{value}", "", met=True, value=value, spread=spread, less=less)


@pytest.mark.parametrize(
    ("now", "less", "spread", "said"),
    [
        (120.0, False, 0.0, "+20%"),
        (80.0, False, 0.0, "-20% !"),
        (80.0, True, 0.0, "-20%"),
        (120.0, True, 0.0, "+20% !"),
        (97.0, False, 0.0, "-3%"),
        (80.0, False, 0.3, "-20%"),
    ],
)
def test_a_change_is_flagged_when_it_is_worse_than_noise(
    report: ModuleType, now: float, *, less: bool, spread: float, said: str
) -> None:
    assert report.change(row(now, less=less, spread=spread), {"value": 100.0, "spread": 0}) == said


def test_a_row_that_was_never_measured_has_no_change(report: ModuleType) -> None:
    assert report.change(row(1.0), None) == ""


def test_what_was_not_measured_now_stays_in_the_results(report: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    report.save(path, {}, [row(1.0, what="a"), row(2.0, what="b")], {"somebody": {}})

    report.save(path, {}, [row(3.0, what="b"), row(4.0, what="c")], {})

    assert {what: old["value"] for what, old in report.last_rows(path).items()} == {
        "a": 1.0,
        "b": 3.0,
        "c": 4.0,
    }
    assert json.loads(path.read_text())["peers"] == {"somebody": {}}


@pytest.mark.parametrize("log", [False, True])
def test_a_plot_is_svg_with_a_dot_for_each_point_inside_its_axes(*, log: bool) -> None:
    svg = importlib.import_module("svg")
    points = [(1.0, 3.0), (1000.0, 70.0), (10_000_000.0, 12_345.0)]

    drawn = svg.plot("A < B", svg.Axis("x", log=True), svg.Axis("y", log), [svg.Line("y", points)])

    dots = ET.fromstring(drawn).findall("{http://www.w3.org/2000/svg}circle")  # noqa: S314 - ours
    assert len(dots) == len(points)
    assert all(svg.LEFT <= float(dot.attrib["cx"]) <= svg.WIDTH for dot in dots)
    assert all(svg.TOP <= float(dot.attrib["cy"]) <= svg.HEIGHT - svg.BOTTOM for dot in dots)


def test_every_peer_of_the_catalogue_has_its_file() -> None:
    catalog = importlib.import_module("peers.catalog")

    assert {peer.file for peer in catalog.PEERS} | {"jobd_peer.py"} == {
        path.name for path in (BENCHMARKS / "peers").glob("*_peer.*")
    }


def test_the_command_says_what_it_measures() -> None:
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--help"]

    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "--peers" in said
