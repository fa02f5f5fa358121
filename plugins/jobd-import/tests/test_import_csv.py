"""import.csv: what becomes a row, what a reject, and what is no CSV at all."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobd.sdk.testing import Outcome, run_handler
from jobd_import.handlers import import_csv

from .import_bench import Bench, rejects_of

TWO = {"id": "integer", "name": "text?"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def error(outcome: Outcome) -> tuple[str, bool, str | None]:
    assert outcome.status == "failed"
    assert outcome.error is not None
    return outcome.error.code, outcome.error.retryable, outcome.error.failed_step


def test_every_type_becomes_what_it_says(bench: Bench) -> None:
    outcome = bench.run(
        "csv",
        b"i,r,b,d,t,n\n1,2.5,true,2024-12-31,x,\n-7,1e3,0,1999-01-01,,9\n",
        columns={
            "i": "integer",
            "r": "real",
            "b": "boolean",
            "d": "date",
            "t": "text",
            "n": "integer?",
        },
    )

    assert outcome.status == "completed"
    assert bench.rows() == [
        (1, 2.5, 1, "2024-12-31", "x", None),
        (-7, 1000.0, 0, "1999-01-01", "", 9),
    ]


def test_the_result_says_what_was_done(bench: Bench) -> None:
    outcome = bench.run("csv", b"id,name\n1,a\n2,b\n", columns=TWO)

    assert outcome.result == {
        "table": "t",
        "rows_imported": 2,
        "rows_rejected": 0,
        "bytes_total": 16,
        "bytes_read": 16,
        "resumed_at_bytes": 0,
        "attempt": 1,
        "rejects": None,
    }
    assert not outcome.partial
    assert outcome.artifacts == {}


def test_without_columns_the_header_names_nullable_texts(bench: Bench) -> None:
    bench.run("csv", b'First Name,"a ""b"""\nx,\n')

    assert bench.rows() == [("x", None)]
    assert [row[1:4] for row in bench.sql("PRAGMA table_info(t)")] == [
        ("First Name", "TEXT", 0),
        ('a "b"', "TEXT", 0),
    ]


def test_named_columns_may_be_some_of_the_header_s_in_any_order(bench: Bench) -> None:
    bench.run("csv", b"x,name,id\n0,a,1\n", columns=TWO)

    assert bench.rows() == [(1, "a")]


def test_without_a_header_order_counts(bench: Bench) -> None:
    bench.run("csv", b"1;a\n2;b\n", columns=TWO, header=False, delimiter=";")

    assert bench.rows() == [(1, "a"), (2, "b")]


def test_without_a_header_columns_are_needed(bench: Bench) -> None:
    assert error(bench.run("csv", b"1,a\n", header=False))[0] == "args_invalid"


@pytest.mark.parametrize(
    "content",
    [
        b"id,name\r\n1,a\r\n2,b\r\n",
        b"id,name\n1,a\n2,b",
        b"\xef\xbb\xbfid,name\n1,a\n2,b\n",
        b"id,name\n\n1,a\r\n\r\n2,b\n\n",
        b'"id","name"\n"1","a"\n"2","b"\n',
    ],
    ids=["crlf", "no last line end", "bom", "blank lines", "quotes"],
)
def test_the_ways_to_write_the_same_rows(bench: Bench, content: bytes) -> None:
    outcome = bench.run("csv", content, columns=TWO)

    assert bench.rows() == [(1, "a"), (2, "b")]
    assert outcome.progress[-1].done == len(content)


def test_quoted_line_ends_belong_to_the_field(bench: Bench) -> None:
    outcome = bench.run(
        "csv", b'id,name\n1,"a\nb\r\nc"\nx,"d\ne"\n3,f\n', columns=TWO, batch_rows=1
    )

    assert bench.rows() == [(1, "a\nb\r\nc"), (3, "f")]
    assert rejects_of(outcome) == [["5", "id: 'x' is not an integer of 64 bits", 'x,"d\ne"']]


def test_rejects_have_their_line_reason_and_row(bench: Bench) -> None:
    outcome = bench.run(
        "csv",
        b'id,name\n1,a\nx,b\n3\n4,d,e\n5,"q"q\n6,\xff\n7,n\0l\n8,h\n',
        columns=TWO,
    )

    assert bench.rows() == [(1, "a"), (8, "h")]
    assert rejects_of(outcome) == [
        ["3", "id: 'x' is not an integer of 64 bits", "x,b"],
        ["4", "expected 2 fields, got 1", "3"],
        ["5", "expected 2 fields, got 3", "4,d,e"],
        ["6", "not CSV: ',' expected after '\"'", '5,"q"q'],
        ["7", "not text: a NUL, or bytes that are not UTF-8", "6,\\xff"],
        ["8", "not text: a NUL, or bytes that are not UTF-8", "7,n\\x00l"],
    ]
    assert (outcome.partial, outcome.summary) == (True, (8, 2, 6))
    assert outcome.result["rejects"] == "rejects.csv"


def test_a_quote_that_is_never_closed_rejects_the_rest(bench: Bench) -> None:
    outcome = bench.run("csv", b'id,name\n1,a\n2,"b\n3,c\n', columns=TWO)

    assert bench.rows() == [(1, "a")]
    assert rejects_of(outcome) == [["3", "not CSV: unexpected end of data", '2,"b\n3,c']]


def test_too_many_rejects_fail_the_job_and_leave_the_list(bench: Bench) -> None:
    content = b"id,name\n" + b"1,a\nx,b\n" * 5

    outcome = bench.run("csv", content, columns=TWO, max_rejects=2, batch_rows=2)

    assert error(outcome) == ("too_many_rejects", False, "import")
    assert len(outcome.artifacts["rejects.csv"].read_text().splitlines()) == 4


def test_as_many_rejects_as_allowed_are_no_failure(bench: Bench) -> None:
    assert bench.run("csv", b"id,name\nx,b\n", columns=TWO, max_rejects=1).status == "completed"


def test_progress_is_in_bytes(bench: Bench) -> None:
    outcome = bench.run("csv", b"id,name\n1,a\n2,b\n", columns=TWO, batch_rows=1)

    shown = [(p.done, p.total, p.step) for p in outcome.progress if p.done]
    assert shown[:2] == [(12, 16, "import"), (16, 16, "import")]
    assert len(outcome.checkpoints) == 2


def test_rows_that_the_table_refuses_are_rejects(bench: Bench) -> None:
    bench.sql("CREATE TABLE t (id INTEGER UNIQUE, name TEXT CHECK (name <> 'b'))")

    outcome = bench.run("csv", b"id,name\n1,a\n2,b\n1,c\n4,d\n", columns=TWO)

    assert bench.rows() == [(1, "a"), (4, "d")]
    assert rejects_of(outcome) == [
        ["3", "refused by the table: CHECK constraint failed: name <> 'b'", "2,b"],
        ["4", "refused by the table: UNIQUE constraint failed: t.id", "1,c"],
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, more TEXT, at INT NOT NULL DEFAULT 5)",
        "CREATE TABLE T (Name VARCHAR(9), ID BIGINT, own INTEGER PRIMARY KEY NOT NULL)",
        "CREATE TABLE t (id, name, twice GENERATED ALWAYS AS (id * 2))",
    ],
)
def test_a_table_that_takes_the_columns_is_added_to(bench: Bench, statement: str) -> None:
    bench.sql(statement)

    assert bench.run("csv", b"id,name\n1,a\n", columns=TWO).status == "completed"
    assert bench.sql("SELECT id, name FROM t") == [(1, "a")]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (id INTEGER)",
        "CREATE TABLE t (id TEXT, name TEXT)",
        "CREATE TABLE t (id INTEGER, name TEXT, more TEXT NOT NULL)",
        "CREATE VIEW t AS SELECT 1 AS id, 'a' AS name",
    ],
)
def test_a_table_that_does_not_take_them_is_a_mismatch(bench: Bench, statement: str) -> None:
    bench.sql(statement)

    assert error(bench.run("csv", b"id,name\n1,a\n", columns=TWO))[:2] == ("table_mismatch", False)


@pytest.mark.parametrize("table", ["_jobd_import", "_JOBD_import_rejects", "sqlite_x"])
def test_reserved_tables_cannot_be_imported_into(bench: Bench, table: str) -> None:
    outcome = bench.run("csv", b"id,name\n1,a\n", columns=TWO, table=table)

    assert error(outcome) == ("table_mismatch", False, "open")


def test_two_columns_that_differ_only_in_case_are_a_mismatch(bench: Bench) -> None:
    assert error(bench.run("csv", b"a,A\n1,2\n")) == ("table_mismatch", False, "open")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"SQLite format 3\0\x10\0",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03abc",
        "id,name\n1,a\n".encode("utf-16"),
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)) * 20,
        b'id,name\n1,"' + b"x" * 140_000 + b"\n",
        b'id,name\n1,"' + b"x,1\n" * 40_000,
        b"a" * (4 * 1024 * 1024 + 1),
        b'"id"x,name\n1,a\n',
        b"id,n\xffme\n1,a\n2,b\n3,c\n",
    ],
    ids=lambda content: repr(content[:12]),
)
def test_what_is_not_csv_fails_for_good_with_its_step(bench: Bench, content: bytes) -> None:
    code, retryable, step = error(bench.run("csv", content, columns=TWO))

    assert (code, retryable) == ("not_csv", False)
    assert step in ("open", "import")


@pytest.mark.parametrize(
    "content", [b"id,other\n1,a\n", b"id,name,name\n1,a,b\n", b"\n1,a\n", b"id;name\n1;a\n"]
)
def test_a_header_without_the_columns_is_a_mismatch(bench: Bench, content: bytes) -> None:
    assert error(bench.run("csv", content, columns=TWO)) == ("header_mismatch", False, "open")


@pytest.mark.parametrize("content", [b"a,,c\n1,2,3\n", b"a,b,a\n1,2,3\n", b"\n1,2\n"])
def test_a_header_that_names_no_table_is_a_mismatch(bench: Bench, content: bytes) -> None:
    assert error(bench.run("csv", content)) == ("header_mismatch", False, "open")


def test_a_missing_source_makes_no_database(bench: Bench) -> None:
    assert error(bench.run("csv", columns=TWO)) == ("source_not_found", False, "open")
    assert not bench.database.exists()


def test_a_folder_or_a_fifo_is_no_source(bench: Bench) -> None:
    os.mkfifo(bench.source)
    fifo = bench.run("csv", columns=TWO)
    folder = bench.run("csv", columns=TWO, source=str(bench.folder))

    assert error(fifo) == error(folder) == ("source_unreadable", False, "open")


def test_a_file_that_is_no_database_is_left_alone(bench: Bench) -> None:
    content = b"no database" * 100
    bench.database.write_bytes(content)

    outcome = bench.run("csv", b"id,name\n1,a\n", columns=TWO)

    assert error(outcome) == ("database_unusable", False, "open")
    assert bench.database.read_bytes() == content


@pytest.mark.parametrize("name", ["", "nowhere/at/all.db"])
def test_a_database_that_cannot_be_made_fails_for_good(bench: Bench, name: str) -> None:
    database = str(bench.folder / name)

    outcome = bench.run("csv", b"id,name\n1,a\n", columns=TWO, database=database)

    assert error(outcome) == ("database_unusable", False, "open")


def test_a_locked_database_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobd_import.target.BUSY_S", 0.01)
    with closing(sqlite3.connect(bench.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        locked = bench.run("csv", b"id,name\n1,a\n", columns=TWO)

    assert error(locked) == ("database_locked", True, "open")
    assert bench.run("csv", attempt=2, columns=TWO).status == "completed"
    assert bench.rows() == [(1, "a")]


def test_the_owner_s_journal_mode_stays(bench: Bench) -> None:
    bench.sql("PRAGMA journal_mode = WAL")
    bench.run("csv", b"id,name\n1,a\n", columns=TWO)

    assert bench.sql("PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize("field", ["source", "database"])
def test_relative_paths_are_refused(bench: Bench, field: str) -> None:
    args: dict[str, Any] = {field: "a.csv"}

    assert error(bench.run("csv", b"", **args))[0] == "args_invalid"


@pytest.mark.parametrize("field", ["source", "database"])
def test_both_files_must_be_where_the_operator_allows(bench: Bench, field: str) -> None:
    bench.source.write_bytes(b"id,name\n1,a\n")
    args = bench.args(columns=TWO) | {field: "/etc/somewhere/else"}

    outcome = run_handler(import_csv, args, allow_paths=[str(bench.folder)])

    assert error(outcome) == ("path_not_allowed", False, "open")
    assert not bench.database.exists()
