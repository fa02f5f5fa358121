"""The handlers: `ocr.pdf` and `ocr.image`."""

from contextlib import ExitStack

from jobd.sdk import Context, Discard, Partial, handler
from jobd_ocr import image_pages, pdf_pages
from jobd_ocr.args import ImageArgs, OcrConfig, PdfArgs
from jobd_ocr.reading import RENDER, read
from jobd_ocr.source import opened
from jobd_ocr.tesseract import installed

_PROGRAMS = {"tesseract": "tesseract-ocr"}
_TIMEOUT_S = 4 * 3600.0
_MEMORY_MB = 3072
"""A page of max_pixels, pdfium with the pictures on it, and tesseract with a copy."""


@handler(
    args=PdfArgs,
    config=OcrConfig,
    setup=installed,
    timeout_s=_TIMEOUT_S,
    memory_mb=_MEMORY_MB,
    programs=_PROGRAMS,
)
def read_pdf(ctx: Context, args: PdfArgs) -> Partial:
    """Read the text of a PDF's pages; the artifact `text.txt` has it all."""
    limit: OcrConfig = ctx.config
    with ExitStack() as open_files:
        with ctx.step(RENDER):
            file = open_files.enter_context(opened(ctx, args.source))
            pdf = pdf_pages.opened(
                file.path, dpi=args.dpi, max_pixels=limit.max_pixels, keep_text=args.keep_text
            )
            pages = open_files.enter_context(pdf)
            last = pages.count if args.last_page is None else min(args.last_page, pages.count)
            wanted = range(args.first_page - 1, last)
            if not wanted:
                message = f"There is no page {args.first_page}: {last} is the last to be read."
                raise Discard(code="no_such_page", message=message)
        return read(ctx, args, file, pages, wanted)


@handler(
    args=ImageArgs,
    config=OcrConfig,
    setup=installed,
    timeout_s=_TIMEOUT_S,
    memory_mb=_MEMORY_MB,
    programs=_PROGRAMS,
)
def read_image(ctx: Context, args: ImageArgs) -> Partial:
    """Read the text of a picture, or of each page of a TIFF, as `ocr.pdf` does."""
    limit: OcrConfig = ctx.config
    with ExitStack() as open_files:
        with ctx.step(RENDER):
            file = open_files.enter_context(opened(ctx, args.source))
            image = image_pages.opened(file.path, dpi=args.dpi, max_pixels=limit.max_pixels)
            pages = open_files.enter_context(image)
        return read(ctx, args, file, pages, range(pages.count))
