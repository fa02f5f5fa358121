"""From rows to HTML: a template in Jinja2's sandbox, in which everything is escaped.

Invariant: a template reaches no file and no object of Python beyond the values it is given.

Not here: what the HTML may load (fetcher.py).
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from jobd.sdk import Context, Discard
from jobd_report import source
from jobd_report.args import ReportArgs
from jobd_report.table import Table, shown

MAX_HTML_CHARS = 100_000_000

_MAX_TEMPLATE_BYTES = 1_000_000
_DEFAULT = Path(__file__).with_name("report.html")
_CHUNKS_BETWEEN_LOOKS = 10_000


def html(ctx: Context, args: ReportArgs, table: Table) -> str:
    """Return the page; Discard with `template_invalid` or `template_failed`."""
    environment = ImmutableSandboxedEnvironment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    given: dict[str, Any] = {
        "title": args.title,
        "columns": table.columns,
        "rows": table.rows,
        "numeric": table.numeric,
        "totals": {name: shown(total) for name, total in table.totals.items()},
        "values": args.values,
        "page": args.page,
        "made_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    try:
        template = environment.from_string(_text(ctx, args))
        return _filled(ctx, template.generate(given))
    except TemplateSyntaxError as exc:
        message = f"The template is wrong in line {exc.lineno}: {exc.message}"
        raise Discard(code="template_invalid", message=message) from None
    except Discard:
        raise
    except Exception as exc:  # noqa: BLE001 - what a template does may raise anything
        message = f"The template failed: {type(exc).__name__}: {exc}"
        raise Discard(code="template_failed", message=message) from None


def _filled(ctx: Context, chunks: Any) -> str:
    parts: list[str] = []
    chars = 0
    for number, chunk in enumerate(chunks):
        parts.append(chunk)
        chars += len(chunk)
        if chars > MAX_HTML_CHARS:
            message = f"The template wrote more than {MAX_HTML_CHARS} characters."
            raise Discard(code="report_too_large", message=message)
        if number % _CHUNKS_BETWEEN_LOOKS == 0:
            ctx.check_cancelled()
    return "".join(parts)


def _text(ctx: Context, args: ReportArgs) -> str:
    if args.html is not None:
        return args.html
    if args.template is None:
        return _DEFAULT.read_text("utf-8")
    with source.opened(ctx, args.template) as (fd, path):
        body = os.read(fd, _MAX_TEMPLATE_BYTES + 1)
    if len(body) > _MAX_TEMPLATE_BYTES:
        message = f"{path} has more than {_MAX_TEMPLATE_BYTES} bytes."
        raise Discard(code="template_invalid", message=message)
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Discard(code="template_invalid", message=f"{path} is no UTF-8: {exc}") from None
