"""The operations on batches: many jobs in one request."""

from jobd.api.openapi.shapes import (
    NDJSON,
    NO_ROOM,
    READ,
    SENT,
    WRITTEN,
    Answer,
    Body,
    Callback,
    Content,
    Operation,
)
from jobd.wire.batches import BatchDetail, BatchLine, BatchList, BatchRequest

_BATCH = "/v1/batches/{batch_id}"
_DETAIL = (Content(BatchDetail),)
_NEXT = ("getBatch", "cancelBatch")
_OF_BATCH = ("batch_not_found", "batch_expired")
_VERSION = ("ETag", "Retry-After?")
_STORED = Answer(
    202,
    "What is good of it is accepted; `errors` says what is not.",
    _DETAIL,
    ("Location", "ETag", "Retry-After?", "Idempotent-Replayed?"),
    _NEXT,
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/v1/batches",
        id="createBatch",
        tag="batches",
        summary="Submit many jobs",
        description="As JSON, or as NDJSON with one job a line, which is read as it arrives."
        " Empty lines are passed over. Nothing is queued of a request that breaks off.",
        parameters=("atomic", "callback_url", "idempotency_key", "traceparent"),
        body=Body((Content(BatchRequest), Content({"type": "string"}, NDJSON, (BatchLine,)))),
        answers=(_STORED,),
        problems=(
            *WRITTEN,
            *SENT,
            *NO_ROOM,
            "callback_url_forbidden",
            "invalid_parameter",
            "invalid_idempotency_key",
            "idempotency_key_reused",
            "idempotency_in_progress",
            "batch_rejected",
            "too_many_batches",
        ),
        calls_back=Callback("batch.completed", "{$request.query.callback_url}"),
    ),
    Operation(
        method="GET",
        path="/v1/batches",
        id="listBatches",
        tag="batches",
        summary="List batches, newest first",
        parameters=("all", "page_size", "page_token"),
        answers=(Answer(200, "A page of batches.", (Content(BatchList),), ("Link",)),),
        problems=(*READ, "invalid_parameter", "invalid_page_token"),
    ),
    Operation(
        method="GET",
        path=_BATCH,
        id="getBatch",
        tag="batches",
        summary="Read how a batch stands",
        parameters=("batch_id", "if_none_match"),
        answers=(
            Answer(200, "The batch.", _DETAIL, _VERSION),
            Answer(304, "It is as the caller has it.", headers=_VERSION),
        ),
        problems=(*READ, *_OF_BATCH),
    ),
    Operation(
        method="POST",
        path=f"{_BATCH}/cancel",
        id="cancelBatch",
        tag="batches",
        summary="Cancel what has not ended of a batch",
        parameters=("batch_id",),
        answers=(
            Answer(200, "All of it has ended.", _DETAIL, ("Location", "ETag")),
            Answer(202, "Attempts are being ended.", _DETAIL, ("Location", *_VERSION)),
        ),
        problems=(*WRITTEN, *_OF_BATCH),
    ),
    Operation(
        method="POST",
        path=f"{_BATCH}/retry",
        id="retryBatch",
        tag="batches",
        summary="Submit what failed of a batch anew, as a batch",
        parameters=("batch_id", "retry_status"),
        answers=(Answer(202, "The new batch.", _DETAIL, ("Location", *_VERSION), ("getBatch",)),),
        problems=(*WRITTEN, *_OF_BATCH, *NO_ROOM, "invalid_parameter", "nothing_to_retry"),
    ),
)
