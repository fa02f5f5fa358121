"""The pages of a PDF, rendered by pdfium."""

from collections.abc import Iterator
from contextlib import contextmanager

import pypdfium2  # type: ignore[import-untyped]
from pypdfium2 import raw

from jobd.sdk import Discard
from jobd_ocr.pages import PageFailed, Picture, check_size

_POINTS_PER_INCH = 72
_LOCKED = (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY)


class PdfPages:
    """An open PDF; see pages.Pages."""

    def __init__(
        self, pdf: pypdfium2.PdfDocument, *, dpi: int, max_pixels: int, keep_text: bool
    ) -> None:
        self.count = len(pdf)
        self._pdf = pdf
        self._dpi = dpi
        self._max_pixels = max_pixels
        self._keep_text = keep_text

    def text(self, index: int) -> str | None:
        """Return the text that the page has, if that is to be kept and is not blank."""
        if not self._keep_text:
            return None
        with _page(self._pdf, index) as page:
            textpage = page.get_textpage()
            try:
                text = str(textpage.get_text_bounded())
            finally:
                textpage.close()
        lines = [line.rstrip() for line in text.splitlines()]
        return "\n".join(lines).strip("\n") or None

    def picture(self, index: int) -> Picture:
        """Render a page."""
        scale = self._dpi / _POINTS_PER_INCH
        with _page(self._pdf, index) as page:
            width, height = page.get_size()
            check_size(width * scale, height * scale, self._max_pixels)
            try:
                bitmap = page.render(scale=scale, grayscale=True)
            except pypdfium2.PdfiumError as exc:
                raise _damaged(index, exc) from None
            try:
                return self._picture(bitmap)
            finally:
                bitmap.close()

    def _picture(self, bitmap: pypdfium2.PdfBitmap) -> Picture:
        rows = memoryview(bitmap.buffer).cast("B")
        width, height, stride = bitmap.width, bitmap.height, bitmap.stride
        if stride == width:
            pixels = bytes(rows[: width * height])
        else:
            starts = range(0, stride * height, stride)
            pixels = b"".join([rows[start : start + width] for start in starts])
        return Picture(width, height, pixels, self._dpi)


@contextmanager
def opened(path: str, *, dpi: int, max_pixels: int, keep_text: bool) -> Iterator[PdfPages]:
    """Open a PDF; Discard with `not_a_pdf` or `pdf_encrypted`."""
    try:
        pdf = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as exc:
        if exc.err_code in _LOCKED:
            message = "The PDF is protected by a password: save it without one first."
            raise Discard(code="pdf_encrypted", message=message) from None
        raise Discard(code="not_a_pdf", message=f"The file is no PDF, or broken: {exc}") from None
    try:
        yield PdfPages(pdf, dpi=dpi, max_pixels=max_pixels, keep_text=keep_text)
    finally:
        pdf.close()


@contextmanager
def _page(pdf: pypdfium2.PdfDocument, index: int) -> Iterator[pypdfium2.PdfPage]:
    try:
        page = pdf[index]
    except pypdfium2.PdfiumError as exc:
        raise _damaged(index, exc) from None
    try:
        yield page
    finally:
        page.close()


def _damaged(index: int, exc: Exception) -> PageFailed:
    return PageFailed("page_damaged", f"Page {index + 1} cannot be rendered: {exc}")
