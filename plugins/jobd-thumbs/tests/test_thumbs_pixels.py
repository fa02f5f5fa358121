"""What the thumbnails look like: every pixel where, and in the colour, that it belongs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, TiffImagePlugin, TiffTags

from jobd.sdk.testing import Outcome, run_handler
from jobd_thumbs.handlers import make_thumbnails

from .draw_pictures import BLUE, GREEN, RED, YELLOW, draw, quadrants, swapped_profile

WHITE = (255, 255, 255)

Colour = tuple[int, ...]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return draw(tmp_path_factory.mktemp("pictures"))


def made(source: Path, **args: Any) -> Outcome:
    outcome = run_handler(make_thumbnails, {"source": str(source), **args})
    assert outcome.error is None
    return outcome


def thumbnail(source: Path, size: int = 60, form: str = "png", **args: Any) -> Image.Image:
    outcome = made(source, sizes=[size], format=form, **args)
    with Image.open(outcome.artifacts[f"thumb-{size}.{form}"]) as image:
        image.load()
    return image


def at(image: Image.Image, x: int, y: int) -> Colour:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return pixel


def corners(image: Image.Image) -> list[Colour]:
    """The colours in the middle of the four quadrants, from top left to bottom right."""
    xs, ys = (image.width // 4, image.width * 3 // 4), (image.height // 4, image.height * 3 // 4)
    return [at(image, x, y) for y in ys for x in xs]


def alike(found: Sequence[Colour], wanted: Sequence[Colour], within: int = 12) -> bool:
    """Whether the colours are the same but for what a lossy format does to them."""
    pairs = [pair for both in zip(found, wanted, strict=True) for pair in zip(*both, strict=True)]
    return all(abs(one - other) <= within for one, other in pairs)


ORIENTED = [
    *(f"orientation-{orientation}.jpg" for orientation in range(1, 9)),
    "orientation-6.png",
    "orientation-6-late.png",
    "orientation-6.tif",
]


@pytest.mark.parametrize("form", ["webp", "jpeg", "png"])
@pytest.mark.parametrize("name", ORIENTED)
def test_every_orientation_comes_out_upright(
    pictures: dict[str, Path], name: str, form: str
) -> None:
    image = thumbnail(pictures[name], form=form, quality=95)

    assert (image.format, image.size) == (form.upper(), (60, 40))
    assert alike(corners(image), [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize(
    ("name", "form", "size"),
    [
        ("orientation-3.jpg", "jpeg", (120, 80)),
        ("orientation-6.jpg", "jpeg", (80, 120)),
        ("orientation-6.png", "png", (80, 120)),
        ("orientation-6-late.png", "png", (80, 120)),
        ("orientation-6.tif", "tiff", (80, 120)),
    ],
)
def test_the_source_is_described_as_it_is_stored(
    pictures: dict[str, Path], name: str, form: str, size: tuple[int, int]
) -> None:
    outcome = made(pictures[name])

    stored = {"width": size[0], "height": size[1], "format": form, "orientation": int(name[12])}
    assert outcome.result["source"] == stored


def test_a_picture_that_is_small_enough_keeps_its_size(pictures: dict[str, Path]) -> None:
    outcome = made(pictures["orientation-8.jpg"], sizes=[8192, 120, 119], format="png")

    sizes = [(thumb["width"], thumb["height"]) for thumb in outcome.result["thumbnails"]]
    assert sizes == [(120, 80), (120, 80), (119, 79)]


def test_a_strip_of_one_pixel_stays_one_pixel_thin(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1), RED).save(tmp_path / "strip.png")

    image = thumbnail(tmp_path / "strip.png", size=16)

    assert image.size == (16, 1)
    assert at(image, 15, 0) == RED


@pytest.mark.parametrize("name", ["large.jpg", "large.png"])
def test_a_large_picture_is_scaled_roughly_first_and_stays_exact(tmp_path: Path, name: str) -> None:
    """No edge is a multiple of 8: what a rough pixel has beyond the edge must not show."""
    quadrants(size=(2002, 1402)).crop((0, 0, 2001, 1401)).save(tmp_path / name)

    image = thumbnail(tmp_path / name, size=50)

    assert image.size == (50, 35)
    places = [(0, 0), (23, 0), (26, 0), (49, 0), (0, 34), (23, 34), (26, 34), (49, 34)]
    wanted = [RED, RED, GREEN, GREEN, BLUE, BLUE, YELLOW, YELLOW]
    assert alike([at(image, *place) for place in places], wanted)


@pytest.mark.parametrize("form", ["webp", "png"])
def test_transparency_is_kept(pictures: dict[str, Path], form: str) -> None:
    image = thumbnail(pictures["alpha.png"], form=form)

    found = corners(image)
    assert alike(found[:3], [(*RED, 255), (*GREEN, 255), (*BLUE, 128)])
    assert found[3][3] == 0


def test_transparency_is_white_in_a_jpeg(pictures: dict[str, Path]) -> None:
    image = thumbnail(pictures["alpha.png"], form="jpeg")

    half_blue = tuple((value + 255) // 2 for value in BLUE)
    assert alike(corners(image), [RED, GREEN, half_blue, WHITE])


def test_the_first_frame_of_an_animation_is_taken(pictures: dict[str, Path]) -> None:
    image = thumbnail(pictures["frames.gif"], form="webp", quality=95)

    assert getattr(image, "n_frames", 1) == 1
    assert alike(corners(image), [RED, GREEN, BLUE, YELLOW])


def test_16_bits_become_8(pictures: dict[str, Path]) -> None:
    image = thumbnail(pictures["deep.png"])

    assert corners(image) == [(0, 0, 0), (85, 85, 85), (170, 170, 170), WHITE]


@pytest.mark.parametrize(
    ("mode", "values"), [("I", (-1000, 1000)), ("F", (-0.5, 1e9)), ("I", (0, 255)), ("F", (0, 255))]
)
def test_32_bits_are_spread_from_black_to_white(
    tmp_path: Path, mode: str, values: tuple[float, float]
) -> None:
    image = Image.new(mode, (40, 20), values[0])
    image.paste(values[1], (20, 0, 40, 20))
    image.save(tmp_path / "wide.tif")

    assert corners(thumbnail(tmp_path / "wide.tif")) == [(0, 0, 0), WHITE] * 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA"])
def test_every_kind_of_pixel_can_be_shown(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (40, 20), "white").convert(mode).save(tmp_path / "white.tif")

    assert {pixel[:3] for pixel in corners(thumbnail(tmp_path / "white.tif"))} == {WHITE}


def test_lab_becomes_rgb(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(quadrants(), srgb, lab, outputMode="LAB")
    assert image is not None
    image.save(tmp_path / "lab.tif")

    assert alike(corners(thumbnail(tmp_path / "lab.tif")), [RED, GREEN, BLUE, YELLOW])


def test_cmyk_becomes_rgb(pictures: dict[str, Path]) -> None:
    image = thumbnail(pictures["cmyk.jpg"])

    assert alike(corners(image), [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize("transparent", [False, True])
def test_colours_are_converted_from_their_profile(tmp_path: Path, transparent: bool) -> None:
    """In this profile green means red."""
    image = quadrants()
    if transparent:
        image.putalpha(77)
    image.save(tmp_path / "swapped.png", icc_profile=swapped_profile())

    found = corners(thumbnail(tmp_path / "swapped.png"))

    alpha = (77,) if transparent else ()
    swapped = [(green, red, blue, *alpha) for red, green, blue in (RED, GREEN, BLUE, YELLOW)]
    assert alike(found, swapped, within=2)


def test_a_profile_that_is_none_is_left_aside(pictures: dict[str, Path]) -> None:
    image = thumbnail(pictures["bad-profile.png"])

    assert corners(image) == [RED, GREEN, BLUE, YELLOW]


def test_a_profile_for_a_space_without_a_name_is_left_aside(tmp_path: Path) -> None:
    profile = swapped_profile().replace(b"RGB ", b"\xff\xfe\xfd ")
    quadrants().save(tmp_path / "odd.png", icc_profile=profile)

    assert corners(thumbnail(tmp_path / "odd.png")) == [RED, GREEN, BLUE, YELLOW]


def test_a_profile_that_is_a_number_is_left_aside(tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[TiffImagePlugin.ICCPROFILE] = 5
    tags.tagtype[TiffImagePlugin.ICCPROFILE] = TiffTags.SHORT
    quadrants().save(tmp_path / "odd.tif", tiffinfo=tags)

    assert corners(thumbnail(tmp_path / "odd.tif")) == [RED, GREEN, BLUE, YELLOW]


def test_a_profile_for_other_pixels_is_left_aside(tmp_path: Path) -> None:
    Image.new("L", (40, 20), 90).save(tmp_path / "grey.png", icc_profile=swapped_profile())

    assert corners(thumbnail(tmp_path / "grey.png")) == [(90, 90, 90)] * 4
