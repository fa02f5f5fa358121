"""Whatever the file and wherever the batches end, the same rows and rejects come of it."""

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from .import_bench import Bench, rejects_of

THREE = {"a": "text", "b": "text", "c": "text"}
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
TRICKY = st.lists(
    st.sampled_from([b"a", b"1", b",", b'"', b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xc3\xa9"]),
    max_size=40,
).map(b"".join)
FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
)


@FEW
@given(rows=st.lists(st.tuples(CELL, CELL, CELL), max_size=12), batch_rows=st.integers(1, 14))
def test_what_csv_writer_wrote_is_imported_as_it_was(
    rows: list[tuple[str, str, str]], batch_rows: int
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([tuple(THREE), *rows])
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))

        outcome = bench.run("csv", text.getvalue().encode(), columns=THREE, batch_rows=batch_rows)

        assert outcome.result["rows_imported"] == len(rows)
        assert bench.rows() == rows


def imported(content: bytes, **args: Any) -> Any:
    """Import any bytes; return all that came of it."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        dies_at = args.pop("dies_at", None)
        if dies_at is not None:
            bench.source.write_bytes(content)
            bench.run_and_die("csv", dies_at, "checkpoint", **args)
        outcome = bench.run("csv", None if dies_at else content, attempt=2, **args)
        if outcome.error is not None:
            return outcome.error.code
        return bench.rows(), rejects_of(outcome) if outcome.partial else []


@FEW
@given(content=TRICKY, batch_rows=st.integers(2, 9), dies_at=st.integers(1, 5))
def test_any_bytes_give_the_same_for_any_batch_and_any_death(
    content: bytes, batch_rows: int, dies_at: int
) -> None:
    args = {"columns": {"a": "text?", "b": "integer?"}, "header": False}

    one = imported(content, batch_rows=1, **args)
    many = imported(content, batch_rows=batch_rows, **args)
    died = imported(content, batch_rows=1, dies_at=dies_at, **args)

    assert one == many == died
