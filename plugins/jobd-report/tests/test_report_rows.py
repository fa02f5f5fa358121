"""From where rows come: what is read, and what is refused."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobd.sdk.testing import run_handler
from jobd_report import query
from jobd_report.handlers import make_report

from .reports import ROWS, csv, made, pages, refused, shop

pytestmark = pytest.mark.filterwarnings(
    "ignore:HarfBuzz-Subset:DeprecationWarning"
)  # an old Debian


def test_a_query_s_rows_with_its_params(tmp_path: Path) -> None:
    sql = "SELECT name, price, picture FROM items WHERE price > :least ORDER BY price"

    outcome = made(database=shop(tmp_path), query=sql, params={"least": 1}, totals=["price"])

    (text,) = pages(outcome)
    assert "2 rows name price picture Tea 4.1 (2 bytes) Coffee 15.8 Total 19.9" in text
    assert outcome.result["totals"] == {"price": "19.9"}


def test_a_view_can_be_read(tmp_path: Path) -> None:
    (text,) = pages(made(database=shop(tmp_path), query="SELECT count(*) AS n FROM dear"))

    assert "n 2" in text


def test_a_csv_s_rows_whatever_is_in_them(tmp_path: Path) -> None:
    outcome = made(csv=csv(tmp_path, "\ufeff" + ROWS), totals=["price", "sold"], title="T < U")

    (text,) = pages(outcome)
    assert text.startswith("T < U 3 rows name price sold Tea & <Biscuits> 4.10 3 Coffee 15.80")
    assert "Water 0.10 12 Total 20.00 15" in text
    assert text.endswith("1 / 1")
    assert outcome.result["rows"] == 3


def test_uploads_are_read_like_paths(tmp_path: Path) -> None:
    file_id = "file_" + "0" * 64
    args = {"database": {"$file": file_id}, "query": "SELECT name FROM items"}

    outcome = run_handler(make_report, args, files={file_id: Path(shop(tmp_path))})

    assert "Coffee" in pages(outcome)[0]


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC name FROM items",
        "SELECT nothing FROM items",
        "SELECT :missing",
        "DELETE FROM items RETURNING name",
        "CREATE TABLE other (a)",
        "PRAGMA query_only = OFF",
        "SELECT * FROM pragma_database_list",
        "ATTACH '/etc/passwd' AS other",
        "SELECT 1; SELECT 2",
        "SELECT load_extension('/lib/x.so')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT zeroblob(100000000)",
        "VACUUM INTO '/tmp/copy.db'",
    ],
)
def test_sql_that_is_wrong_or_wants_more_fails_for_good(tmp_path: Path, sql: str) -> None:
    before = Path(shop(tmp_path)).read_bytes()

    code, step, _ = refused(made(database=str(tmp_path / "shop.db"), query=sql))

    assert (code, step) == ("query_failed", "rows")
    assert (tmp_path / "shop.db").read_bytes() == before


def test_a_busy_database_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "BUSY_S", 0.01)
    database = shop(tmp_path)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        error = made(database=database, query="SELECT 1").error

    assert error is not None
    assert (error.code, error.retryable) == ("database_locked", True)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    outcome = made(database=csv(tmp_path), query="SELECT 1")

    assert refused(outcome)[:2] == ("database_unusable", "rows")


@pytest.mark.parametrize("text", ["", "a,b\n1\n", 'a,b\n1,"x"y\n', "a\n" + "x" * 200_000 + "\n"])
def test_what_is_no_csv_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(made(csv=csv(tmp_path, text)))[:2] == ("not_csv", "rows")


def test_bytes_that_are_no_text_are_no_csv(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"name\nM\xfcller\n")

    assert refused(made(csv=str(tmp_path / "latin.csv")))[0] == "not_csv"


@pytest.mark.parametrize(
    ("text", "args", "code"),
    [
        ("a,a\n1,2\n", {}, "columns_not_unique"),
        ("a,\n1,2\n", {}, "columns_not_unique"),
        ("a\n1\n", {"totals": ["b"]}, "column_missing"),
        ("a\n1\nmany\n", {"totals": ["a"]}, "not_a_number"),
        ("a\nNaN\n", {"totals": ["a"]}, "not_a_number"),
        ("a\n1\n2\n3\n4\n", {}, "too_many_rows"),
    ],
)
def test_rows_that_cannot_be_reported(
    tmp_path: Path, text: str, args: dict[str, Any], code: str
) -> None:
    outcome = made({"max_rows": 3}, csv=csv(tmp_path, text), **args)

    assert refused(outcome)[:2] == (code, "rows")


@pytest.mark.parametrize(
    "sql", ["WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"]
)
def test_rows_without_end_are_too_many(tmp_path: Path, sql: str) -> None:
    outcome = made({"max_rows": 100}, database=shop(tmp_path), query=sql)

    assert refused(outcome)[0] == "too_many_rows"


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"csv": "/a", "database": "/b", "query": "SELECT 1"},
        {"database": "/b"},
        {"csv": "/a", "query": "SELECT 1"},
        {"csv": "/a", "html": "", "template": "/t"},
        {"csv": "relative.csv"},
    ],
)
def test_args_that_do_not_go_together(args: dict[str, Any]) -> None:
    assert refused(made(**args))[0] == "args_invalid"


def test_a_source_that_is_no_file_has_a_code(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    outside = run_handler(make_report, {"csv": "/etc/passwd"}, allow_paths=[str(tmp_path)])

    assert refused(made(csv=str(tmp_path / "fifo")))[0] == "source_unreadable"
    assert refused(made(csv=str(tmp_path / "nothing")))[0] == "source_not_found"
    assert refused(made(database=str(tmp_path), query="SELECT 1"))[0] == "source_unreadable"
    assert refused(outside)[0] == "path_not_allowed"
