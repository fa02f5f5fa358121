"""What `ocr.pdf` and `ocr.image` take and return, and what the operator may set."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Layout = Literal["page", "turned", "column", "block", "line", "sparse"]

AbsolutePath = Annotated[str, Meta(pattern="^/", max_length=4095)]

Language = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{2,40}(/[A-Za-z0-9_]{2,40})?(?!\n)$")]

Dpi = Annotated[int, Meta(ge=70, le=1200)]


class Upload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that was uploaded: `{"$file": "file_…"}`."""

    file_id: Annotated[str, Meta(pattern=r"^file_[0-9a-f]{64}(?!\n)$")] = msgspec.field(
        name="$file"
    )


class OcrArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The args that both kinds have."""

    source: Annotated[
        AbsolutePath | Upload,
        Meta(description="Absolute path of the file, in a folder the daemon allows, or an upload."),
    ]
    languages: Annotated[
        tuple[Language, ...],
        Meta(
            min_length=1,
            max_length=8,
            description="Which languages the text is in, the main one first, as tesseract names "
            "them.",
        ),
    ] = ("eng",)
    layout: Annotated[
        Layout,
        Meta(
            description="What a page looks like: a page with columns and headings; one that may "
            "be turned by 90 or 180 degrees; one column; one block; one line; words here and "
            "there."
        ),
    ] = "page"
    page_timeout_s: Annotated[
        float,
        Meta(ge=0.1, le=3600, description="How long one page may be read before it is given up."),
    ] = 120.0


class PdfArgs(OcrArgs, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The args of `ocr.pdf`."""

    dpi: Annotated[Dpi, Meta(description="How finely pages are rendered.")] = 200
    first_page: Annotated[int, Meta(ge=1, description="Read from this page on.")] = 1
    last_page: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Read up to this page; to the end.")
    ] = None
    keep_text: Annotated[
        bool, Meta(description="A page that has text already is not read; its text is taken.")
    ] = False


class ImageArgs(OcrArgs, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The args of `ocr.image`."""

    dpi: Annotated[
        Dpi | None, Meta(description="How finely it was scanned, if the file does not say so.")
    ] = None


class OcrConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[plugins.jobd-ocr]`."""

    max_pages: Annotated[int, Meta(ge=1)] = 1000
    """A job that would read more is refused."""
    max_pixels: Annotated[int, Meta(ge=1)] = 100_000_000
    """A page of more pixels is not rendered."""
    tessdata: AbsolutePath | None = None
    """A folder of language files to take instead of the system's."""


class PageText(msgspec.Struct, frozen=True):
    """What was read on one page; with `error`, why nothing was."""

    page: int
    text: str
    error: str | None = None


class Read(msgspec.Struct, frozen=True):
    """The result. `text` is the artifact that has all pages, a form feed between two."""

    pages: list[PageText]
    pages_total: int
    pages_read: int
    """In this attempt."""
    resumed_at_page: int | None
    attempt: int
    text: str
