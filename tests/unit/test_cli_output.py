"""What the printers write, and that text of a job cannot drive the terminal."""

from datetime import timedelta
from typing import NamedTuple

import pytest

from jobd.cli import output
from jobd.cli.output import Column, View

NOW = output.now()
BODY = b'{"things":[{"id":"x1","n":1.0},{"id":"y","n":20}],"next_page_token":null}'


class Thing(NamedTuple):
    id: str
    note: str


THINGS = [Thing("x1", "n"), Thing("y", "longer")]
VIEW: View[Thing] = View(
    items="things",
    name=lambda thing: thing.id,
    columns=(
        Column("ID", lambda thing: thing.id),
        Column("NOTE", lambda thing: thing.note),
        Column("MORE", lambda _: "m", wide=True),
    ),
)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("table", "ID  NOTE\nx1  n\ny   longer\n"),
        ("wide", "ID  NOTE    MORE\nx1  n       m\ny   longer  m\n"),
        ("json", BODY.decode() + "\n"),
        ("ndjson", '{"id":"x1","n":1.0}\n{"id":"y","n":20}\n'),
        ("name", "x1\ny\n"),
    ],
)
def test_a_list_in_every_form(form: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    VIEW.print_list(THINGS, BODY, form)

    assert capsys.readouterr().out == expected


def test_an_empty_list_is_its_titles(capsys: pytest.CaptureFixture[str]) -> None:
    VIEW.print_list([], b"{}", "table")

    assert capsys.readouterr().out == "ID  NOTE\n"


def test_control_characters_are_written_out() -> None:
    assert output.plain("a\x1b[2J\nb é\u202e") == r"a\x1b[2J\nb é\u202e"


@pytest.mark.parametrize(
    ("ago", "expected"),
    [(3, "3s"), (119, "1m"), (7200, "2h"), (172800, "2d"), (-90, "in 1m")],
)
def test_an_age_is_in_its_largest_unit(ago: int, expected: str) -> None:
    assert output.age(NOW - timedelta(seconds=ago), NOW) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.1234, "0.12 s"), (12.34, "12.3 s"), (125, "2m05s"), (3725, "1h02m")],
)
def test_a_duration_has_a_precision_that_fits(seconds: float, expected: str) -> None:
    assert output.seconds_text(seconds) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(512, "512 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
)
def test_a_size_has_its_unit(size: int, expected: str) -> None:
    assert output.size_text(size) == expected
