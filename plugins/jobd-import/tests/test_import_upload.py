"""A source that was uploaded is imported like one by path."""

from pathlib import Path

from jobd.sdk.testing import run_handler
from jobd_import.handlers import import_csv

FILE_ID = "file_" + "0" * 64


def test_an_uploaded_file_is_imported(tmp_path: Path) -> None:
    source = tmp_path / "sent"
    source.write_text("name\nada\n")
    args = {"source": {"$file": FILE_ID}, "database": str(tmp_path / "t.db"), "table": "t"}

    outcome = run_handler(import_csv, args, files={FILE_ID: source})

    assert outcome.result["rows_imported"] == 1
