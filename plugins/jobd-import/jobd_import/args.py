"""The args of both kinds: what a submission may say, checked before a job is accepted."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

ColumnType = Literal[
    "text",
    "text?",
    "integer",
    "integer?",
    "real",
    "real?",
    "boolean",
    "boolean?",
    "date",
    "date?",
]

AbsolutePath = Annotated[str, Meta(pattern="^/", max_length=4095)]


class Upload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that was uploaded: `{"$file": "file_…"}`."""

    file_id: Annotated[str, Meta(pattern=r"^file_[0-9a-f]{64}(?!\n)$")] = msgspec.field(
        name="$file"
    )


Columns = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=200)], ColumnType],
    Meta(min_length=1, max_length=2000),
]


class ImportArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What both kinds take."""

    source: Annotated[
        AbsolutePath | Upload,
        Meta(description="Absolute path of the file, in a folder the daemon allows, or an upload."),
    ]
    database: Annotated[
        AbsolutePath,
        Meta(
            description="Absolute path of the SQLite database, in a folder the daemon allows. "
            "Made if it does not exist."
        ),
    ]
    table: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}(?!\n)$",
            description="The table: made if it does not exist, else added to.",
        ),
    ]
    batch_rows: Annotated[
        int, Meta(ge=1, le=100_000, description="Rows per transaction of the target.")
    ] = 5000
    max_rejects: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="More rejected rows fail the job; null: any number may be rejected."),
    ] = None


class CsvArgs(ImportArgs, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The args of `import.csv`."""

    columns: Annotated[
        Columns | None,
        Meta(description="Name and type of each column; null: all of the header, as text?."),
    ] = None
    header: Annotated[
        bool, Meta(description="Whether the first row names the columns; without, order counts.")
    ] = True
    delimiter: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1,
            pattern="^[\\t !#-~]$",
            description="The character between two fields.",
        ),
    ] = ","

    def __post_init__(self) -> None:
        if not self.header and self.columns is None:
            raise ValueError("columns is required when header is false")


class NdjsonArgs(ImportArgs, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The args of `import.ndjson`."""

    columns: Annotated[
        Columns, Meta(description="Key and type of each column; other keys are ignored.")
    ]
