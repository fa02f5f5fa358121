"""Draw pages of known words, and make them look as a scanner leaves them.

The font is the one inside Pillow, so that the words look the same on every machine.
"""

import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

DPI = 200
SIZE = (1240, 700)
"""Less than half of a sheet: what is read in a test has to be read in every run."""

PAGES = (
    ("The quick brown fox jumps", "over the lazy dog near", "the bank of the river"),
    ("Invoice number 20417", "Amount due 1250 euros", "Payable within thirty days"),
    ("Chapter three begins here", "with a short sentence about", "ships and the open sea"),
)

_LOCK = b"<</Filter /Standard /V 1 /R 2 /P -44 /O <%b> /U <%b>>>" % (b"00" * 32, b"11" * 32)

LOCKED = (
    b"""%%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
2 0 obj <</Type /Pages /Kids [] /Count 0>> endobj
3 0 obj %b endobj
trailer <</Root 1 0 R /Encrypt 3 0 R /ID [<00> <00>] /Size 4>>
%%%%EOF
"""
    % _LOCK
)
"""A PDF that no password opens."""


def page(lines: Sequence[str]) -> Image.Image:
    """Draw lines of text, black on white."""
    image = Image.new("L", SIZE, 255)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=48)
    for number, line in enumerate(lines):
        draw.text((140, 120 + number * 130), line, font=font, fill=0)
    return image


def scanned(image: Image.Image, *, degrees: float = 1.2, seed: int = 7) -> Image.Image:
    """Turn it a little, blur it, make the paper grey and spread dust, always the same."""
    dust = random.Random(seed)  # noqa: S311 - not for secrets
    turned = image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255)
    grey = turned.filter(ImageFilter.GaussianBlur(1.1)).point(lambda value: 30 + value * 0.8)
    draw = ImageDraw.Draw(grey)
    for _ in range(250):
        x, y = dust.randrange(grey.width), dust.randrange(grey.height)
        draw.point((x, y), dust.randrange(60, 200))
    return grey


def scan(path: Path, pages: Sequence[Sequence[str]] = PAGES) -> Path:
    """Write scans of the pages into one PDF (or TIFF, or another picture's file)."""
    first, *others = [scanned(page(lines), seed=seed) for seed, lines in enumerate(pages)]
    if path.suffix in (".pdf", ".tif"):
        first.save(path, save_all=True, append_images=others, resolution=DPI, dpi=(DPI, DPI))
    else:
        first.save(path, dpi=(DPI, DPI))
    return path


def words(text: str) -> list[str]:
    return text.split()


def expected(number: int) -> list[str]:
    """Return the words of a page."""
    return words(" ".join(PAGES[number]))
