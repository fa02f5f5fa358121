"""The handler: `report.pdf`."""

from collections.abc import Callable
from pathlib import Path

from jobd.sdk import Context, Discard, handler
from jobd_report import csv_rows, query, template
from jobd_report.args import Made, ReportArgs, ReportConfig
from jobd_report.table import Table, collected, shown

PDF_NAME = "report.pdf"
PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"
"""What Debian calls what WeasyPrint needs."""

_TIMEOUT_S = 1800.0
_MEMORY_MB = 3072
_ROWS_PCT = 10.0
_BEGIN_PCT = 20.0


@handler(args=ReportArgs, config=ReportConfig, timeout_s=_TIMEOUT_S, memory_mb=_MEMORY_MB)
def make_report(ctx: Context, args: ReportArgs) -> Made:
    """Make the PDF `report.pdf` of the rows of a query or a CSV file."""
    limit: ReportConfig = ctx.config
    with ctx.step("rows", 1, 3):
        table = _table(ctx, args, limit.max_rows)
        ctx.progress(pct=_ROWS_PCT, message=f"{len(table.rows)} rows")
    with ctx.step("template", 2, 3):
        html = template.html(ctx, args, table)
        ctx.progress(pct=_BEGIN_PCT)
    out = ctx.artifact(PDF_NAME)
    with ctx.step("layout", 3, 3):
        pages = _laid_out(ctx, html, out, table, limit)
        ctx.progress(pct=100, message=f"page {pages} of {pages}")
    totals = {name: shown(total) for name, total in table.totals.items()}
    return Made(out.name, len(table.rows), pages, out.stat().st_size, totals)


def _table(ctx: Context, args: ReportArgs, max_rows: int) -> Table:
    if args.csv is not None:
        with csv_rows.read(ctx, args.csv, args.delimiter) as (names, lines):
            return collected(ctx, names, lines, max_rows=max_rows, totals=args.totals)
    if args.database is None or args.query is None:
        raise AssertionError(args)  # its own check
    with query.read(ctx, args.database, args.query, args.params) as (names, rows):
        return collected(ctx, names, rows, max_rows=max_rows, totals=args.totals)


def _laid_out(ctx: Context, html: str, out: Path, table: Table, limit: ReportConfig) -> int:
    try:
        write = _writer()
    except OSError as exc:
        message = f"WeasyPrint's libraries are missing: apt install {PACKAGES} ({exc})"
        raise Discard(code="library_missing", message=message[:1000]) from None
    return write(
        ctx,
        html,
        out,
        begin_pct=_BEGIN_PCT,
        rows=len(table.rows),
        max_pages=limit.max_pages,
        assets=limit.assets,
    )


def _writer() -> Callable[..., int]:
    from jobd_report import layout  # noqa: PLC0415 - see there

    return layout.write
