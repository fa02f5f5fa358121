"""What is read, and how it is told; each word of the scans must be exact."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobd.sdk.testing import Outcome, run_handler
from jobd_ocr.handlers import read_image, read_pdf

from .scans import DPI, PAGES, expected, page, scan, words

pytestmark = pytest.mark.needs("tesseract")


@pytest.fixture(scope="module")
def letter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scan(tmp_path_factory.mktemp("scans") / "letter.pdf")


def texts(outcome: Outcome) -> list[list[str]]:
    assert outcome.status == "completed", outcome.error
    return [words(page["text"]) for page in outcome.result["pages"]]


def test_a_scanned_pdf_is_read_to_the_word(letter: Path) -> None:
    outcome = run_handler(read_pdf, {"source": str(letter)})

    assert texts(outcome) == [expected(0), expected(1), expected(2)]
    assert not outcome.partial
    kept = outcome.artifacts["text.txt"].read_text().split("\f")
    assert [words(text) for text in kept] == texts(outcome)
    shown = [(p.step, p.done, p.total) for p in outcome.progress if p.step == "text-extraction"]
    assert shown == [("text-extraction", done, 3) for done in (0, 1, 1, 2, 2)]
    assert (outcome.progress[-1].pct, outcome.progress[-1].step) == (100, "merge")
    assert [name for name, *_ in outcome.steps[-3:]] == ["render", "text-extraction", "merge"]
    assert outcome.logs == []


def test_pages_are_chosen_by_their_numbers(letter: Path) -> None:
    args = {"source": str(letter), "first_page": 2, "last_page": 2, "layout": "block"}

    outcome = run_handler(read_pdf, args)

    assert [(found["page"], words(found["text"])) for found in outcome.result["pages"]] == [
        (2, expected(1))
    ]


def test_every_page_of_a_tiff_is_read(tmp_path: Path) -> None:
    source = scan(tmp_path / "two.tif", PAGES[:2])

    assert texts(run_handler(read_image, {"source": str(source)})) == [expected(0), expected(1)]


def test_a_picture_that_lies_on_its_side_is_read_if_that_is_asked(tmp_path: Path) -> None:
    """Finding out which way up it is needs more than a line or two."""
    sheet = Image.new("L", (1240, 2100), 255)
    for number in range(3):
        sheet.paste(page(PAGES[number]), (0, 700 * number))
    sheet.rotate(90, expand=True).save(tmp_path / "side.png", dpi=(DPI, DPI))

    args = {"source": str(tmp_path / "side.png"), "layout": "turned"}

    assert texts(run_handler(read_image, args)) == [expected(0) + expected(1) + expected(2)]


@pytest.mark.parametrize("form", ["exif.jpg", "clear.png", "bits.png", "deep.png"])
def test_pixels_of_every_kind_become_black_on_white(tmp_path: Path, form: str) -> None:
    drawn, path = page(PAGES[1]), tmp_path / form
    if form == "exif.jpg":
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise
        drawn.rotate(90, expand=True).save(path, exif=exif)
    elif form == "clear.png":
        ink = Image.new("LA", drawn.size)
        ink.putalpha(drawn.point(lambda value: 255 - value))
        ink.save(path)
    elif form == "bits.png":
        drawn.convert("1").save(path)
    else:
        drawn.convert("I").point(lambda value: value * 257).convert("I;16").save(path)

    assert texts(run_handler(read_image, {"source": str(path)})) == [expected(1)]


def test_text_that_is_there_is_taken_without_tesseract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "born.pdf").write_bytes(born(b"(Born digital) Tj 0 -20 Td (second line) Tj"))
    monkeypatch.setattr("jobd_ocr.tesseract.Reader.text", None)

    outcome = run_handler(read_pdf, {"source": str(tmp_path / "born.pdf"), "keep_text": True})

    assert outcome.result["pages"][0]["text"] == "Born digital\nsecond line"


def test_an_empty_page_has_no_text(tmp_path: Path) -> None:
    Image.new("L", (400, 400), 255).save(tmp_path / "white.png")

    outcome = run_handler(read_image, {"source": str(tmp_path / "white.png")})

    assert outcome.result["pages"] == [{"page": 1, "text": "", "error": None}]


def test_an_upload_is_read_like_a_path(letter: Path) -> None:
    file_id = "file_" + "0" * 64
    args: dict[str, Any] = {"source": {"$file": file_id}, "last_page": 1}

    assert texts(run_handler(read_pdf, args, files={file_id: letter})) == [expected(0)]


def born(content: bytes) -> bytes:
    """Return a PDF whose text is text."""
    stream = b"BT /F1 18 Tf 40 150 Td " + content + b" ET"
    return b"\n".join(
        [
            b"%PDF-1.4",
            b"1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj",
            b"2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj",
            b"3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R",
            b"/Resources <</Font <</F1 <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>>>>>>>",
            b"endobj",
            b"4 0 obj <</Length %d>> stream" % len(stream),
            stream,
            b"endstream endobj",
            b"trailer <</Root 1 0 R /Size 5>>",
            b"%%EOF",
        ]
    )
