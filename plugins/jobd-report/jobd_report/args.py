"""What `report.pdf` takes, and what the operator may set."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Page = Literal["A4", "A4 landscape", "A5", "A3 landscape", "Letter", "Letter landscape"]

AbsolutePath = Annotated[str, Meta(pattern="^/", max_length=4095)]


class Upload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that was uploaded: `{"$file": "file_…"}`."""

    file_id: Annotated[str, Meta(pattern=r"^file_[0-9a-f]{64}(?!\n)$")] = msgspec.field(
        name="$file"
    )


File = AbsolutePath | Upload


class ReportArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The args of `report.pdf`: `csv`, or `database` and `query`."""

    csv: Annotated[
        File | None,
        Meta(description="A CSV file, UTF-8, whose first row names the columns: path or upload."),
    ] = None
    delimiter: Annotated[str, Meta(min_length=1, max_length=1, description="Of the CSV.")] = ","
    database: Annotated[
        File | None, Meta(description="A SQLite database, opened to be read only: path or upload.")
    ] = None
    query: Annotated[
        Annotated[str, Meta(min_length=1, max_length=100_000)] | None,
        Meta(description="One SELECT; its columns are the report's."),
    ] = None
    params: Annotated[
        dict[str, str | int | float | None],
        Meta(description="Values for the query's `:name` places."),
    ] = {}
    title: Annotated[str, Meta(min_length=1, max_length=500)] = "Report"
    totals: Annotated[
        tuple[str, ...], Meta(max_length=100, description="Columns of numbers to sum up.")
    ] = ()
    template: Annotated[
        File | None, Meta(description="A Jinja2 template of HTML: path or upload.")
    ] = None
    html: Annotated[
        Annotated[str, Meta(max_length=100_000)] | None,
        Meta(description="A Jinja2 template of HTML, instead of a file."),
    ] = None
    values: Annotated[
        dict[str, Any], Meta(description="Whatever the template wants, as `values`.")
    ] = {}
    page: Annotated[Page, Meta(description="The paper, for the template that comes along.")] = "A4"

    def __post_init__(self) -> None:
        if (self.csv is None) == (self.database is None):
            raise ValueError("give either csv, or database and query")
        if (self.database is None) != (self.query is None):
            raise ValueError("database and query belong together")
        if self.template is not None and self.html is not None:
            raise ValueError("give template or html, not both")


class ReportConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[plugins.jobd-report]`."""

    max_rows: Annotated[int, Meta(ge=1)] = 20_000
    """A report of more is refused. 1000 rows take some 3 s and 60 MB."""
    max_pages: Annotated[int, Meta(ge=1)] = 2_000
    """A report that grows longer is given up."""
    assets: AbsolutePath | None = None
    """The one folder whose files (logos, fonts, styles) a template may load."""


class Made(msgspec.Struct, frozen=True):
    """The result; `pdf` is its artifact."""

    pdf: str
    rows: int
    pages: int
    size_bytes: int
    totals: dict[str, str]
