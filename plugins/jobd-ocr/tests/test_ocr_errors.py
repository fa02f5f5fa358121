"""What a job is told about a file that is none, is too large, or cannot be read here."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from jobd.sdk.testing import Outcome, run_handler
from jobd_ocr.handlers import read_image, read_pdf

from .scans import LOCKED, PAGES, page, scan

KINDS = {"pdf": read_pdf, "image": read_image}


def tried(kind: str, source: Path, config: Any = None, **args: Any) -> Outcome:
    return run_handler(KINDS[kind], {"source": str(source), **args}, config=config)  # type: ignore[arg-type]


def assert_refused(outcome: Outcome, code: str, step: str | None = "render") -> None:
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.failed_step) == (code, step)
    assert not outcome.error.retryable
    assert outcome.artifacts == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nothing.pdf", "source_not_found"),
        ("text.pdf/nothing.pdf", "source_not_found"),
        (".", "source_unreadable"),
        ("fifo", "source_unreadable"),
    ],
)
def test_a_source_that_is_no_file_has_a_code(
    tmp_path: Path, kind: str, name: str, code: str
) -> None:
    (tmp_path / "text.pdf").touch()
    os.mkfifo(tmp_path / "fifo")

    assert_refused(tried(kind, tmp_path / name), code)


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\n", b"GIF89a", b"no file of any kind"])
def test_what_is_neither_pdf_nor_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)

    assert_refused(tried("pdf", tmp_path / "file"), "not_a_pdf")
    assert_refused(tried("image", tmp_path / "file"), "not_an_image")


def test_a_pdf_with_a_password_says_so(tmp_path: Path) -> None:
    (tmp_path / "locked.pdf").write_bytes(LOCKED)

    assert_refused(tried("pdf", tmp_path / "locked.pdf"), "pdf_encrypted")


def test_a_path_outside_the_allowed_folders_is_refused(tmp_path: Path) -> None:
    args = {"source": "/etc/passwd"}

    outcome = run_handler(read_pdf, args, allow_paths=[str(tmp_path)])

    assert_refused(outcome, "path_not_allowed")


@pytest.mark.needs("tesseract")
def test_a_page_that_is_too_large_is_not_rendered(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(50_000, 50_000))
    pdf = scan(tmp_path / "a.pdf", PAGES[:1])

    assert_refused(tried("image", tmp_path / "bomb.png"), "page_too_large")
    assert_refused(tried("pdf", pdf, {"max_pixels": 800_000}), "page_too_large")


@pytest.mark.needs("tesseract")
def test_a_page_that_is_damaged_costs_only_itself(tmp_path: Path) -> None:
    pdf = scan(tmp_path / "a.pdf", PAGES[:2])
    body = pdf.read_bytes()
    pdf.write_bytes(
        body.replace(b"/Kids [ ", b"/Kids [ 99 0 R ", 1).replace(b"/Count 2", b"/Count 3")
    )

    outcome = tried("pdf", pdf)

    assert outcome.summary == (3, 2, 1)
    assert [found["error"] for found in outcome.result["pages"]] == ["page_damaged", None, None]
    assert outcome.artifacts["text.txt"].read_text().count("\f") == 2


@pytest.mark.needs("tesseract")
def test_a_picture_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    page(PAGES[0]).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:3000])

    assert_refused(tried("image", tmp_path / "cut.png"), "page_damaged")


@pytest.mark.needs("tesseract")
def test_more_pages_than_the_operator_allows_are_refused(tmp_path: Path) -> None:
    pdf = scan(tmp_path / "a.pdf", PAGES[:2])

    assert_refused(tried("pdf", pdf, {"max_pages": 1}), "too_many_pages", None)
    assert_refused(tried("pdf", pdf, first_page=3), "no_such_page")


@pytest.mark.needs("tesseract")
def test_a_language_that_is_not_installed_names_its_package(tmp_path: Path) -> None:
    outcome = tried("pdf", scan(tmp_path / "a.pdf", PAGES[:1]), languages=["eng", "qaa_x"])

    assert_refused(outcome, "language_missing", None)
    assert outcome.error is not None
    assert "tesseract-ocr-qaa-x" in outcome.error.message


def test_without_tesseract_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    outcome = tried("pdf", scan(tmp_path / "a.pdf", PAGES[:1]))

    assert_refused(outcome, "program_missing", None)
    assert outcome.error is not None
    assert "tesseract-ocr" in outcome.error.message


@pytest.mark.parametrize("language", ["", "e", "../eng", "eng+deu", "-l", "eng\n"])
def test_a_language_is_a_name(tmp_path: Path, language: str) -> None:
    outcome = tried("pdf", tmp_path, languages=[language])

    assert_refused(outcome, "args_invalid", None)


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that says it is huge; its pixels are missing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
