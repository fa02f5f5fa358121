"""import.ndjson: one object a line, types kept apart, rejects with their lines."""

from pathlib import Path

import pytest

from .import_bench import Bench, rejects_of

ALL = {"i": "integer", "r": "real", "b": "boolean", "d": "date", "t": "text", "n": "text?"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_every_type_becomes_what_it_says(bench: Bench) -> None:
    outcome = bench.run(
        "ndjson",
        b'{"i":1,"r":2,"b":true,"d":"2024-12-31","t":"","n":null,"other":[1]}\n'
        b'\r\n{"n":"","t":"x\\ny","d":"1999-01-01","b":false,"r":-2.5,"i":-7}',
        columns=ALL,
    )

    assert outcome.status == "completed"
    assert not outcome.partial
    assert bench.rows() == [
        (1, 2.0, 1, "2024-12-31", "", None),
        (-7, -2.5, 0, "1999-01-01", "x\ny", ""),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1]", "Expected `object`, got `array`"),
        (b"nonsense", "JSON is malformed"),
        (b'{"i":1', "Input data was truncated"),
        (b'{"i":1}{"i":2}', "trailing characters"),
        (b'{"i":"1"}', "Expected `int`, got `str` - at `$.i`"),
        (b'{"i":1.5}', "Expected `int`, got `float` - at `$.i`"),
        (b'{"i":true}', "Expected `int`, got `bool` - at `$.i`"),
        (b'{"i":9223372036854775808}', "Expected `int` <= "),
        (b'{"i":null}', "Expected `int`, got `null`"),
        (b"{}", "missing required field `i`"),
        (b'{"i":1,"t":2}', "Expected `str | null`, got `int`"),
        (b'{"i":1,"t":"\\u0000"}', "t: holds a NUL"),
        (b'{"i":1,"t":"\\ud800"}', ""),
        (b'{"i":1,"t":"\xff"}', "utf-8"),
        (b'{"i":1,"d":"2023-02-29"}', "d: '2023-02-29' is not a date"),
        (b'{"i":1,"d":""}', "d: is empty"),
        (b'{"i":1,"x":' + b"[" * 5000 + b"]" * 5000 + b"}", ""),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_line_that_is_no_such_object_is_rejected(bench: Bench, line: bytes, reason: str) -> None:
    columns = {"i": "integer", "t": "text?", "d": "date?"}

    outcome = bench.run("ndjson", b'{"i":1}\n\n' + line + b'\n{"i":4}\n', columns=columns)

    assert [row[0] for row in bench.rows()] == [1, 4]
    ((at, why, _),) = rejects_of(outcome)
    assert at == "3"
    assert reason in why
    assert outcome.summary == (3, 2, 1)


@pytest.mark.parametrize(
    "content",
    [
        b'[\n {"i": 1},\n {"i": 2}\n]\n',
        b"id,name\n1,a\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"a" * (4 * 1024 * 1024 + 1),
    ],
    ids=["pretty array", "csv", "png", "one long line"],
)
def test_what_is_not_ndjson_fails_for_good(bench: Bench, content: bytes) -> None:
    outcome = bench.run("ndjson", content, columns={"i": "integer"})

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.retryable) == ("not_ndjson", False)
    assert outcome.error.failed_step in ("open", "import")


def test_an_empty_file_has_no_rows(bench: Bench) -> None:
    outcome = bench.run("ndjson", b"\xef\xbb\xbf", columns={"i": "integer"})

    assert outcome.result["rows_imported"] == 0
    assert bench.rows() == []


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_any_batch_gives_the_same(bench: Bench, batch_rows: int) -> None:
    content = b'{"i":1}\n\nx\n{"i":2}\n{"i":3}\n\n'

    outcome = bench.run("ndjson", content, columns={"i": "integer"}, batch_rows=batch_rows)

    assert bench.rows() == [(1,), (2,), (3,)]
    assert [line for line, _, _ in rejects_of(outcome)] == ["3"]
