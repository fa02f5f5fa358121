"""The document that submits a job.

Unknown fields are refused. Fields at their defaults are left out when it is encoded, so
that the fingerprint of a submission stays the same when a later version adds fields.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from jobd.wire.times import Timestamp

# $ also matches before a final newline; the look-ahead says no in Python and in ECMAScript
_NAME = r"^[a-z0-9][a-z0-9._-]*(?!\n)$"
_NO_NUL = {"pattern": r"^(?![\s\S]*\u0000)"}
"""Said here, and looked at for the whole body at once (api/json_rules.py)."""


class SubmitRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What `POST /v1/jobs` takes; null is the handler's or the configured default."""

    kind: Annotated[str, Meta(pattern=_NAME, max_length=100)]
    args: dict[str, Any] = {}
    priority: Annotated[int, Meta(ge=0, le=9)] = 5
    """0 is first."""
    run_at: Timestamp | None = None
    start_before: Timestamp | None = None
    """A job whose first attempt has not begun by then is failed."""
    timeout_seconds: Annotated[float, Meta(gt=0)] | None = None
    """Limit of one attempt; raises the handler's only for callers with the scope `operate`."""
    queue: Annotated[str, Meta(pattern=_NAME, max_length=100)] | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=100)] | None = None
    retention_seconds: Annotated[int, Meta(ge=60)] | None = None
    callback_url: str | None = None
    """Where a signed POST goes; the daemon's settings say where that may be."""
    callback_events: tuple[str, ...] | None = None
    """Of which events; null is of the end of the job, whichever it is."""
    metadata: Annotated[
        dict[
            Annotated[str, Meta(max_length=64, extra_json_schema=_NO_NUL)],
            Annotated[str, Meta(max_length=256, extra_json_schema=_NO_NUL)],
        ],
        Meta(max_length=16),
    ] = {}
