"""Run a report and read its PDF."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pypdfium2  # type: ignore[import-untyped]

from jobd.sdk.testing import Outcome, run_handler
from jobd_report.handlers import make_report

ROWS = "name,price,sold\nTea & <Biscuits>,4.10,3\nCoffee,15.80,\nWater,0.10,12\n"


def made(config: Any = None, **args: Any) -> Outcome:
    return run_handler(make_report, args, config=config)


def pages(outcome: Outcome) -> list[str]:
    """Return the text of each page."""
    assert outcome.status == "completed", outcome.error
    with pypdfium2.PdfDocument(outcome.artifacts["report.pdf"]) as pdf:
        found = [page.get_textpage().get_text_bounded() for page in pdf]
    return [" ".join(text.split()) for text in found]


def csv(folder: Path, text: str = ROWS) -> str:
    path = folder / "rows.csv"
    path.write_text(text)
    return str(path)


def shop(folder: Path) -> str:
    """Return a database of three items, and a view that reads them."""
    path = folder / "shop.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE items (name TEXT, price REAL, sold INTEGER, picture BLOB)")
        rows = [("Tea", 4.1, 3, b"\1\2"), ("Coffee", 15.8, None, None), ("Water", 0.1, 12, None)]
        database.executemany("INSERT INTO items VALUES (?, ?, ?, ?)", rows)
        database.execute("CREATE VIEW dear AS SELECT name, price FROM items WHERE price > 4")
    return str(path)


def refused(outcome: Outcome) -> tuple[str, str | None, str]:
    """Return code, step and message of a failure that is for good."""
    assert outcome.error is not None, outcome
    assert not outcome.error.retryable
    assert outcome.artifacts == {}
    return outcome.error.code, outcome.error.failed_step, outcome.error.message
