"""The handlers: `import.csv` and `import.ndjson`."""

from jobd.sdk import Backoff, Context, Partial, handler
from jobd_import.args import CsvArgs, NdjsonArgs
from jobd_import.csv_rows import CsvRows
from jobd_import.importing import Import, Result
from jobd_import.ndjson_rows import NdjsonRows

# attempts are cheap: each goes on where the last one stopped
_ATTEMPTS = 5
_TIMEOUT_S = 86400.0
_BACKOFF = Backoff(base_s=2, cap_s=60)


@handler(args=CsvArgs, timeout_s=_TIMEOUT_S, max_attempts=_ATTEMPTS, backoff=_BACKOFF)
def import_csv(ctx: Context, args: CsvArgs) -> Result | Partial:
    """Load a CSV file into a table of a SQLite database, every row exactly once."""
    return Import(ctx, args, CsvRows(args)).run()


@handler(args=NdjsonArgs, timeout_s=_TIMEOUT_S, max_attempts=_ATTEMPTS, backoff=_BACKOFF)
def import_ndjson(ctx: Context, args: NdjsonArgs) -> Result | Partial:
    """Load a file of JSON objects, one a line, into a table, every row exactly once."""
    return Import(ctx, args, NdjsonRows(args)).run()
