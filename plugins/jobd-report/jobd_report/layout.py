"""From HTML to a PDF, with the pages counted as they come.

Importing this imports WeasyPrint, which takes a second and raises OSError where the system lacks
its libraries: so it is imported at the first report (handlers.py).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weasyprint import HTML  # type: ignore[import-untyped]

from jobd.sdk import Context, Discard
from jobd_report.fetcher import Fetcher, Refused

_END_PCT = 95.0
_ROWS_A_PAGE = 30
"""A guess, for the percentage alone."""

_LOGGER = logging.getLogger("weasyprint.progress")


class _Pages(logging.Handler):
    """Hears of each page; what it raises goes through WeasyPrint and ends it."""

    def __init__(self, ctx: Context, max_pages: int, begin_pct: float, guessed: int) -> None:
        super().__init__(logging.INFO)
        self._ctx = ctx
        self._max_pages = max_pages
        self._begin_pct = begin_pct
        self._guessed = guessed

    def emit(self, record: logging.LogRecord) -> None:
        """Take "Creating layout - Page 7"; the last step has another message."""
        self._ctx.check_cancelled()
        if not isinstance(record.args, tuple) or "Page %d" not in str(record.msg):
            return
        page = int(str(record.args[0]))
        if page > self._max_pages:
            message = f"The report has more than {self._max_pages} pages."
            raise Discard(code="too_many_pages", message=message)
        done = min(1.0, page / self._guessed)
        pct = self._begin_pct + (_END_PCT - self._begin_pct) * done
        self._ctx.progress(pct=pct, message=f"page {page}")


def write(
    ctx: Context,
    html: str,
    out: Path,
    *,
    begin_pct: float,
    rows: int,
    max_pages: int,
    assets: str | None,
) -> int:
    """Write the PDF and return how many pages it has.

    Raises Discard with `url_refused` or `too_many_pages`.
    """
    fetcher = Fetcher(assets)
    try:
        with _heard(_Pages(ctx, max_pages, begin_pct, rows // _ROWS_A_PAGE + 1)):
            document = HTML(string=html, base_url=fetcher.base_url, url_fetcher=fetcher).render()
            if not fetcher.refused:
                document.write_pdf(out)
    except Refused as exc:
        raise _refused(str(exc)) from None
    if fetcher.refused:
        out.unlink(missing_ok=True)
        raise _refused(fetcher.refused[0])
    return len(document.pages)


@contextmanager
def _heard(handler: logging.Handler) -> Iterator[None]:
    level = _LOGGER.level
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOGGER.setLevel(level)
        _LOGGER.removeHandler(handler)


def _refused(url: str) -> Discard:
    return Discard(
        code="url_refused",
        message=f"The template wants to load {url!r}, which the settings do not allow "
        "([plugins.jobd-report] assets).",
    )
