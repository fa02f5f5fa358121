"""What a job is told about a source that is no picture, and what is left behind: nothing."""

import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jobd.sdk.testing import Outcome, run_handler
from jobd_thumbs.handlers import make_thumbnails

from .draw_pictures import HEIGHT, WIDTH, draw, quadrants

FORMATS = ("jpeg", "png", "webp", "gif", "tiff", "bmp", "avif")
EXPECTED = {"not_an_image", "image_too_large", "truncated_image"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return draw(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def tried(source: Path, **args: Any) -> Outcome:
    return run_handler(make_thumbnails, {"source": str(source), **args})


def assert_refused(outcome: Outcome, code: str) -> None:
    assert outcome.error is not None
    assert outcome.error.code == code
    assert outcome.error.failed_step == "open"
    assert not outcome.error.retryable
    assert outcome.artifacts == {}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("bomb.png", "image_too_large"),
        ("truncated.jpg", "truncated_image"),
        ("truncated.png", "truncated_image"),
        ("text.jpg", "not_an_image"),
        ("nothing.jpg", "source_not_found"),
        ("text.jpg/nothing.jpg", "source_not_found"),
        (".", "source_unreadable"),
        ("n" * 300, "source_unreadable"),
    ],
)
def test_a_source_that_is_no_picture_has_a_code(
    pictures: dict[str, Path], name: str, code: str
) -> None:
    assert_refused(tried(pictures["text.jpg"].parent / name), code)


def test_a_fifo_does_not_hold_the_worker(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")

    assert_refused(tried(tmp_path / "fifo.jpg"), "source_unreadable")


def test_an_error_of_the_disk_is_not_taken_for_a_damaged_picture() -> None:
    """Reading this file fails with EIO, as a broken disk does."""
    assert_refused(tried(Path("/proc/self/mem")), "source_unreadable")


def test_a_path_outside_the_allowed_folders_is_refused(
    pictures: dict[str, Path], tmp_path: Path
) -> None:
    args = {"source": str(pictures["alpha.png"])}

    outcome = run_handler(make_thumbnails, args, allow_paths=[str(tmp_path)])

    assert_refused(outcome, "path_not_allowed")


def test_an_empty_file_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()

    assert_refused(tried(tmp_path / "empty.jpg"), "not_an_image")


def test_a_format_that_would_start_another_program_is_not_read(tmp_path: Path) -> None:
    quadrants().save(tmp_path / "picture.eps")

    assert_refused(tried(tmp_path / "picture.eps"), "not_an_image")


@pytest.mark.parametrize("name", ["orientation-1.jpg", "orientation-6.tif", "frames.gif"])
@pytest.mark.parametrize("too_many", [1, WIDTH * HEIGHT * 2 // 3])
def test_max_pixels_is_exact(pictures: dict[str, Path], name: str, too_many: int) -> None:
    limit = WIDTH * HEIGHT

    assert tried(pictures[name], max_pixels=limit).status == "completed"
    assert_refused(tried(pictures[name], max_pixels=limit - too_many), "image_too_large")


@pytest.mark.parametrize("name", ["alpha.png", "bomb.png", "truncated.jpg", "text.jpg"])
def test_pillow_and_warnings_are_left_as_they_were(
    pictures: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's own limit is low here: it neither counts for the job nor is it changed by it."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    before = list(warnings.filters)

    outcome = tried(pictures[name])

    assert (outcome.status == "completed") == (name == "alpha.png")
    assert Image.MAX_IMAGE_PIXELS == 7
    assert list(warnings.filters) == before


def test_an_avif_without_its_pixels_is_damaged(tmp_path: Path) -> None:
    """Its decoder raises RuntimeError."""
    quadrants().save(tmp_path / "damaged.avif")
    body = (tmp_path / "damaged.avif").read_bytes()
    start = body.index(b"mdat") + 4
    (tmp_path / "damaged.avif").write_bytes(body[:start] + bytes(len(body) - start))

    assert_refused(tried(tmp_path / "damaged.avif"), "truncated_image")


def test_broken_metadata_does_not_keep_a_picture_from_being_shown(tmp_path: Path) -> None:
    quadrants().save(tmp_path / "odd.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", xmp=b"<x")

    outcome = tried(tmp_path / "odd.jpg")

    assert outcome.result["source"]["orientation"] == 1


@pytest.mark.parametrize("stated", [0, 9, 300])
def test_an_orientation_that_does_not_exist_is_upright(tmp_path: Path, stated: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = stated
    quadrants().save(tmp_path / "odd.jpg", exif=exif)

    assert tried(tmp_path / "odd.jpg").result["source"]["orientation"] == 1


@settings(max_examples=150, deadline=None, derandomize=True)
@given(form=st.sampled_from(FORMATS), data=st.data())
def test_damage_anywhere_is_an_expected_error_or_none(
    folder: Path, form: str, data: st.DataObject
) -> None:
    """Bytes changed, and the end cut off, wherever: no attempt is wasted on a second try."""
    path = folder / f"damaged.{form}"
    quadrants(size=(48, 32)).save(path, form)
    body = bytearray(path.read_bytes())
    places = st.integers(0, len(body) - 1)
    for place, byte in data.draw(st.dictionaries(places, st.integers(0, 255), max_size=6)).items():
        body[place] = byte
    path.write_bytes(body[: data.draw(st.integers(0, len(body)))])

    outcome = tried(path, sizes=[16], max_pixels=1_000_000)

    assert outcome.error is None or outcome.error.code in EXPECTED
