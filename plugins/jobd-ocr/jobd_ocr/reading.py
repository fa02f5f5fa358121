"""The way of a job through its pages: render, read, keep; in the end, merge.

Not here: where pixels come from (pdf_pages.py, image_pages.py).
"""

import msgspec

from jobd.sdk import Context, Discard, Partial
from jobd_ocr.args import OcrArgs, OcrConfig, PageText, Read
from jobd_ocr.kept import Kept
from jobd_ocr.pages import PageFailed, Pages
from jobd_ocr.source import Source
from jobd_ocr.tesseract import Reader, checked

RENDER, READ, MERGE = "render", "text-extraction", "merge"
"""The steps; those of a page have its place among the wanted ones as their index."""

TEXT_NAME = "text.txt"
PAGE_END = "\f"


def read(ctx: Context, args: OcrArgs, source: Source, pages: Pages, wanted: range) -> Partial:
    """Read the wanted pages (counted from 0), go on where an earlier attempt ended."""
    config: OcrConfig = ctx.config
    if len(wanted) > config.max_pages:
        message = f"{len(wanted)} pages are to be read; {config.max_pages} are allowed."
        raise Discard(code="too_many_pages", message=message)
    made_of = msgspec.json.encode((source.stamp, args)).decode()
    kept = Kept(ctx, made_of)
    tesseract = checked(ctx.shared, config, args.languages)
    reader = Reader(ctx, tesseract, args.languages, args.layout, args.page_timeout_s)
    for index in wanted[kept.restored :]:
        done = len(kept.pages)
        ctx.progress(done=done, total=len(wanted), message=f"page {index + 1}")
        kept.add(_page(ctx, pages, reader, index, (done + 1, len(wanted))))
    failed = [page for page in kept.pages if page.error is not None]
    if len(failed) == len(wanted):
        with ctx.step(RENDER):
            numbers = ", ".join(str(page.page) for page in failed[:10])
            message = f"No page can be read (pages {numbers}); the job's log says why."
            raise Discard(code=failed[0].error or "", message=message)
    with ctx.step(MERGE):
        result = _merged(ctx, kept, wanted)
    return Partial(result, len(wanted), len(wanted) - len(failed), len(failed))


def _page(
    ctx: Context, pages: Pages, reader: Reader, index: int, place: tuple[int, int]
) -> PageText:
    ctx.check_cancelled()
    number = index + 1
    try:
        with ctx.step(RENDER, *place):
            text = pages.text(index)
            picture = None if text is not None else pages.picture(index)
        if picture is not None:
            with ctx.step(READ, *place):
                text = reader.text(picture)
    except PageFailed as exc:
        ctx.log.warning("Page %d: %s", number, exc)
        return PageText(number, "", exc.code)
    return PageText(number, text or "")


def _merged(ctx: Context, kept: Kept, wanted: range) -> Read:
    found, again = kept.pages, kept.restored
    path = ctx.artifact(TEXT_NAME)
    with path.open("w") as file:
        for index, page in enumerate(found):
            file.write(f"{PAGE_END if index else ''}{page.text}\n")
    ctx.progress(done=len(found), total=len(wanted), message="")
    return Read(
        pages=found,
        pages_total=len(wanted),
        pages_read=len(wanted) - again,
        resumed_at_page=found[again].page if 0 < again < len(found) else None,
        attempt=ctx.attempt,
        text=path.name,
    )
