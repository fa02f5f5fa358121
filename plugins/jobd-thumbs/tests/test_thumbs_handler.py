"""The handler as a job sees it: args, result, artifacts, progress, and the end by cancel."""

import re
import time
from contextlib import nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jobd.sdk import Context
from jobd.sdk.context import JobInfo
from jobd.sdk.execution import ResultLimits, run_sync
from jobd.sdk.testing import run_handler
from jobd_thumbs.args import ThumbsArgs
from jobd_thumbs.handlers import make_thumbnails
from jobd_thumbs.pixels import fitted

from .draw_pictures import SECRET, draw

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return draw(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sizes")


def test_the_entry_point_leads_to_the_handler() -> None:
    [entry] = entry_points(group="jobd.handlers", name="thumbs.make")

    assert entry.load() is make_thumbnails


def test_without_further_args_there_are_two_webp(pictures: dict[str, Path]) -> None:
    outcome = run_handler(make_thumbnails, {"source": str(pictures["orientation-6.jpg"])})

    sizes = {name: path.stat().st_size for name, path in outcome.artifacts.items()}
    assert outcome.result == {
        "source": {"width": 80, "height": 120, "format": "jpeg", "orientation": 6},
        "thumbnails": [
            {"name": name, "width": 120, "height": 80, "size_bytes": sizes[name]}
            for name in ("thumb-128.webp", "thumb-512.webp")
        ],
    }


def test_a_size_is_made_once_and_the_order_is_kept(pictures: dict[str, Path]) -> None:
    args = {"source": str(pictures["alpha.png"]), "sizes": [90, 30, 90], "format": "png"}

    outcome = run_handler(make_thumbnails, args)

    names = [thumb["name"] for thumb in outcome.result["thumbnails"]]
    assert names == ["thumb-90.png", "thumb-30.png"]


@pytest.mark.parametrize("form", ["webp", "jpeg", "png"])
def test_the_same_job_makes_the_same_files(pictures: dict[str, Path], form: str) -> None:
    args = {"source": str(pictures["orientation-5.jpg"]), "sizes": [50], "format": form}

    once, again = run_handler(make_thumbnails, args), run_handler(make_thumbnails, args)

    name = f"thumb-50.{form}"
    assert once.artifacts[name].read_bytes() == again.artifacts[name].read_bytes()


@pytest.mark.parametrize("form", ["webp", "jpeg"])
def test_quality_counts(pictures: dict[str, Path], form: str) -> None:
    args = {"source": str(pictures["orientation-1.jpg"]), "format": form, "sizes": [100]}

    low, high = (run_handler(make_thumbnails, {**args, "quality": q}) for q in (5, 95))

    sizes = [outcome.result["thumbnails"][0]["size_bytes"] for outcome in (low, high)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("form", ["webp", "jpeg", "png"])
@pytest.mark.parametrize("name", ["secret.jpg", "secret.png", "secret.webp", "secret.gif"])
def test_no_metadata_is_left(pictures: dict[str, Path], name: str, form: str) -> None:
    assert SECRET.encode() in pictures[name].read_bytes()

    args = {"source": str(pictures[name]), "sizes": [50], "format": form}
    outcome = run_handler(make_thumbnails, args)

    path = outcome.artifacts[f"thumb-50.{form}"]
    assert SECRET.encode() not in path.read_bytes()
    with Image.open(path) as image:
        assert not image.getexif()
        assert not image.info.keys() & {"icc_profile", "exif", "xmp", "comment", "Comment"}


def test_progress_names_the_step_and_counts_the_sizes(pictures: dict[str, Path]) -> None:
    args = {"source": str(pictures["alpha.png"]), "sizes": [10, 20, 30, 40]}

    outcome = run_handler(make_thumbnails, args)

    assert [name for name, *_ in outcome.steps] == ["open", *["resize"] * 4]
    assert outcome.progress[0].step == "open"
    entered = [(seen.step_index, seen.step_count) for seen in outcome.progress if seen.step_index]
    assert list(dict.fromkeys(entered)) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    percentages = [seen.pct for seen in outcome.progress if seen.pct is not None]
    assert list(dict.fromkeys(percentages)) == [25, 50, 75, 100]


class CancelledAfter:
    """A link to a daemon that cancels the job once so many thumbnails are reported."""

    def __init__(self, thumbnails: int) -> None:
        self.left = thumbnails
        self.done: int | None = None

    def progress(self, *, done: int | None, **_: object) -> None:
        self.done = done

    def heartbeat(self) -> None:
        """Nobody waits for it."""

    def held(self) -> nullcontext[None]:
        return nullcontext()

    def cancelled(self) -> bool:
        return (self.done or 0) >= self.left

    def checkpoint(self, data: bytes) -> None:
        raise AssertionError("no checkpoint is made")


def test_a_cancelled_job_stops_between_two_sizes(pictures: dict[str, Path], tmp_path: Path) -> None:
    job = JobInfo(
        job_id="job_1",
        kind="thumbs.make",
        attempt=1,
        max_attempts=1,
        deadline=time.time() + 60,
        metadata={},
        traceparent=None,
        restored_json=None,
        scratch_dir=tmp_path / "scratch",
        artifacts_dir=tmp_path / "artifacts",
        allow_paths=("/",),
        artifact_bytes=10**9,
    )
    args = msgspec.json.encode({"source": str(pictures["alpha.png"]), "sizes": [10, 20, 30]})

    ctx = Context(job, CancelledAfter(2), progress_interval_s=0)
    ended = run_sync(make_thumbnails, ctx, args, result_limits=ResultLimits(10**6, 10**6))

    assert ended.status == "cancelled"
    assert [left.name for left in ended.artifacts] == ["thumb-10.webp", "thumb-20.webp"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "pictures/cat.jpg"},
        {"sizes": []},
        {"sizes": [0]},
        {"sizes": [8193]},
        {"sizes": [1] * 21},
        {"sizes": [1.5]},
        {"format": "gif"},
        {"quality": 0},
        {"quality": 101},
        {"max_pixels": 0},
        {"max_pixels": 500_000_001},
        {"colour": "grey"},
    ],
    ids=str,
)
def test_args_outside_the_schema_are_refused(wrong: dict[str, Any]) -> None:
    outcome = run_handler(make_thumbnails, {"source": "/cat.jpg", **wrong})

    assert outcome.error is not None
    assert outcome.error.code == "args_invalid"


def test_the_readme_lists_every_arg_with_its_default() -> None:
    table = README.read_text().partition("## Args")[2].partition("## Result")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE))

    expected = {
        field.name: "required"
        if field.required
        else f"`{msgspec.json.format(msgspec.json.encode(field.default), indent=0).decode()}`"
        for field in msgspec.structs.fields(ThumbsArgs)
    }
    assert listed == expected


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 8192))
def test_any_size_keeps_its_shape_and_never_grows(width: int, height: int, edge: int) -> None:
    fit = fitted(width, height, edge)

    scale = min(1, edge / max(width, height))
    assert max(fit) == min(edge, max(width, height))
    for got, was in zip(fit, (width, height), strict=True):
        assert 1 <= got <= was
        assert abs(got - was * scale) < 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    edge=st.integers(1, 320),
    orientation=st.integers(1, 8),
    form=st.sampled_from(["jpeg", "png", "webp", "tiff"]),
)
def test_any_picture_keeps_its_shape_and_never_grows(
    folder: Path, size: tuple[int, int], edge: int, orientation: int, form: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, (9, 99, 199)).save(folder / "picture", form, exif=exif)

    args = {"source": str(folder / "picture"), "sizes": [edge]}
    [thumb] = run_handler(make_thumbnails, args).result["thumbnails"]

    fit = fitted(*size, edge)
    assert (thumb["width"], thumb["height"]) == (fit if orientation < 5 else fit[::-1])


def test_an_uploaded_picture_is_made_like_one_by_path(pictures: dict[str, Path]) -> None:
    file_id = "file_" + "0" * 64
    picture = pictures["orientation-6.jpg"]

    uploaded = run_handler(
        make_thumbnails, {"source": {"$file": file_id}, "sizes": [16]}, files={file_id: picture}
    )

    by_path = run_handler(make_thumbnails, {"source": str(picture), "sizes": [16]})
    assert uploaded.result == by_path.result
