"""An attempt that ends in the middle: what the next one still has to read, and how it ended."""

from pathlib import Path
from typing import Any

import pytest

from jobd.sdk import Context
from jobd.sdk.testing import Outcome, run_handler
from jobd.testing import JobdWorker
from jobd_ocr import kept, tesseract
from jobd_ocr.handlers import read_pdf
from jobd_ocr.pages import Picture

from .scans import PAGES, expected, scan, words

pytestmark = pytest.mark.needs("tesseract")

ALL = [expected(number) for number in range(len(PAGES))]


@pytest.fixture(scope="module")
def letter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scan(tmp_path_factory.mktemp("scans") / "letter.pdf")


class Power:
    """Counts the pages that are read, and fails with the one it was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read = 0
        self.fails_at = 0
        real = tesseract.Reader.text

        def text(reader: tesseract.Reader, picture: Picture) -> str:
            self.read += 1
            if self.read == self.fails_at:
                raise OSError("power cut")
            return real(reader, picture)

        monkeypatch.setattr(tesseract.Reader, "text", text)


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch) -> Power:
    return Power(monkeypatch)


def again(source: Path, before: Outcome, **args: Any) -> Outcome:
    args = {"source": str(source), **args}
    return run_handler(read_pdf, args, attempt=2, restored=before.checkpoints[-1])


@pytest.mark.parametrize("page", [2, 3])
def test_no_page_is_read_twice(letter: Path, power: Power, page: int) -> None:
    power.fails_at = page
    first = run_handler(read_pdf, {"source": str(letter)})
    power.read = power.fails_at = 0

    second = again(letter, first)

    assert first.error is not None
    assert (first.error.failed_step, first.error.retryable) == ("text-extraction", True)
    assert [words(found["text"]) for found in second.result["pages"]] == ALL
    assert power.read == second.result["pages_read"] == 4 - page
    assert (second.result["resumed_at_page"], second.result["attempt"]) == (page, 2)
    assert second.progress[1].done == page - 1


def test_a_worker_that_dies_at_a_page_has_kept_those_before(
    letter: Path, jobd_worker: JobdWorker
) -> None:
    args = {"source": str(letter)}

    first = jobd_worker.run("ocr.pdf", args, crash_at=("text-extraction", 3))
    second = jobd_worker.run("ocr.pdf", args, attempt=2, restored=first.restored)

    assert (first.status, second.status) == ("crashed", "completed")
    assert [words(found["text"]) for found in second.result["pages"]] == ALL
    assert (second.result["pages_read"], second.result["resumed_at_page"]) == (1, 3)
    assert [report.step_index for report in second.progress if report.step == "render"][-1] == 3


def test_a_cancel_ends_tesseract(letter: Path, jobd_worker: JobdWorker) -> None:
    run = jobd_worker.run("ocr.pdf", {"source": str(letter)}, cancel_at="text-extraction")

    assert run.status == "cancelled"
    assert run.checkpoints == []


def test_a_crash_behind_the_last_page_reads_none(letter: Path, power: Power) -> None:
    first = run_handler(read_pdf, {"source": str(letter), "last_page": 1})

    second = again(letter, first, last_page=1)

    assert power.read == 1
    assert second.artifacts["text.txt"].read_text() == first.result["pages"][0]["text"] + "\n"


def test_a_source_that_changed_is_read_anew(tmp_path: Path, power: Power) -> None:
    source = scan(tmp_path / "a.pdf", PAGES[:1])
    first = run_handler(read_pdf, {"source": str(source)})
    source.unlink()
    scan(source, PAGES[1:2])

    second = again(source, first)

    assert words(second.result["pages"][0]["text"]) == expected(1)
    assert power.read == 2


def test_more_text_than_a_checkpoint_holds_is_still_read(
    letter: Path, power: Power, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_handler(read_pdf, {"source": str(letter), "last_page": 1})
    monkeypatch.setattr(kept, "MAX_BYTES", len(first.checkpoints[0]["pages"]) + 300)

    whole = run_handler(read_pdf, {"source": str(letter)})

    assert len(whole.checkpoints) < len(whole.result["pages"]) == 3
    assert whole.logs == ["The text is too long to be kept for a further attempt."]


@pytest.mark.parametrize("left", ["page_timeout_s", "timeout_s"])
def test_over_its_limit_it_is_tried_again(
    letter: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    args: dict[str, Any] = {"source": str(letter)}
    if left == "page_timeout_s":
        args |= {left: 0.1, "dpi": 600}  # which takes longer than that anywhere
    else:
        monkeypatch.setattr(Context, "deadline", 0.0)

    error = run_handler(read_pdf, args).error

    assert error is not None
    assert (error.code, error.retryable, error.failed_step) == (
        "ocr_timeout",
        True,
        "text-extraction",
    )
    assert left in error.message
