"""The operations on what is not a job: events and logs, uploads, queues, plugins, the daemon."""

from jobd.api.openapi.shapes import (
    ASKED,
    BINARY,
    EVENT_STREAM,
    JSON,
    NDJSON,
    OF_JOB,
    READ,
    SENT,
    WRITTEN,
    Answer,
    Body,
    Content,
    Operation,
)
from jobd.wire.events import EventList, JobEvent
from jobd.wire.handlers import HandlerList
from jobd.wire.logs import LogEvent, LogLine
from jobd.wire.queues import Queue, QueueList, QueuePatch
from jobd.wire.status import Health, Status
from jobd.wire.tokens import NewToken, TokenList, TokenRequest
from jobd.wire.uploads import Upload
from jobd.wire.workers import WorkerList

_UPLOAD = "/v1/uploads/{file_id}"
_QUEUE = "/v1/queues/{name}"
_SOCKET = ("Upgrade", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol?")
_OPEN_STREAM = ("X-Accel-Buffering",)
_TEXT = {"type": "string"}
_EVENTS = "One after the other, as they happen."
_QUEUE_NOW = (Answer(200, "The queue as it is now.", (Content(Queue),)),)
_QUEUE_PROBLEMS = (*WRITTEN, "not_found")

STREAMS = (
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/events",
        id="getJobEvents",
        tag="events",
        summary="Follow a job, or read its history",
        description="A stream, unless JSON is asked for with Accept.",
        parameters=("job_id", "access_token", "last_event_id", "timeout", "logs", "last_event"),
        answers=(
            Answer(
                200,
                _EVENTS,
                (
                    Content(EventList),
                    Content({}, EVENT_STREAM, (JobEvent, LogEvent)),
                ),
                ("X-Accel-Buffering?",),
            ),
            Answer(204, "The caller has seen all, and no more will come."),
        ),
        problems=(*READ, *OF_JOB, "invalid_parameter", "not_acceptable", "too_many_streams"),
    ),
    Operation(
        method="GET",
        path="/v1/events",
        id="getEvents",
        tag="events",
        summary="Follow all jobs of the caller",
        description="From now on, or from behind the last event that was seen.",
        parameters=(
            "last_event_id",
            "timeout",
            "of_kind",
            "of_queue",
            "of_batch",
            "of_status",
            "all",
            "last_event",
        ),
        answers=(Answer(200, _EVENTS, (Content({}, EVENT_STREAM, (JobEvent,)),), _OPEN_STREAM),),
        problems=(*READ, "invalid_parameter", "not_acceptable", "too_many_streams"),
    ),
    Operation(
        method="GET",
        path="/v1/ws",
        id="openWebSocket",
        tag="events",
        summary="Talk: events and commands on one connection",
        description="A WebSocket of the protocol `jobd.v1`. Each message is a JSON object. The"
        ' client says `{"op": "subscribe", "job_id": …, "after": …}` (without job_id for all of'
        " its jobs; `after` is the id of the last event it saw), and `unsubscribe` or `cancel`"
        ' with a job_id; where it is not known, first `{"op": "auth", "token": …}`. It is'
        ' answered `{"op": "subscribed", "job_id": …, "done": …}` and so on, or'
        ' `{"op": "error", "of": …, "job_id": …, "code": …, "detail": …}`. Events come as'
        " those of a job's history. It is closed with 1008 when the token is revoked or"
        " expires.",
        parameters=("access_token",),
        answers=(Answer(101, "The connection is a WebSocket.", headers=_SOCKET),),
        problems=(*READ, "invalid_parameter", "too_many_streams", "upgrade_required"),
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/logs",
        id="getLogs",
        tag="events",
        summary="Read what a job wrote, or follow what it writes",
        description="Text, unless NDJSON is asked for with Accept.",
        parameters=("job_id", "access_token", "of_attempt", "tail", "follow"),
        answers=(
            Answer(
                200,
                "Line by line.",
                (Content(_TEXT, "text/plain"), Content(_TEXT, NDJSON, (LogLine,))),
                ("X-Accel-Buffering", "X-Content-Type-Options"),
            ),
        ),
        problems=(*READ, *OF_JOB, "invalid_parameter", "not_acceptable", "too_many_streams"),
    ),
)

UPLOADS = (
    Operation(
        method="POST",
        path="/v1/uploads",
        id="createUpload",
        tag="uploads",
        summary="Send a file that jobs can name in their args",
        description='As `{"$file": file_id}`. Any Content-Type is taken.',
        body=Body(
            (Content(BINARY, "application/octet-stream"),),
            required=False,  # an empty file has none
            description="The file.",
        ),
        answers=(
            Answer(
                201,
                "It is on disk.",
                (Content(Upload),),
                ("Location",),
                ("getUpload", "deleteUpload"),
            ),
        ),
        problems=(
            *WRITTEN,
            "malformed_body",
            "body_timeout",
            "upload_too_large",
            "too_many_uploads",
            "unsupported_media_type",
            "storage_failed",
        ),
    ),
    Operation(
        method="GET",
        path=_UPLOAD,
        id="getUpload",
        tag="uploads",
        summary="Read what is known of an upload",
        parameters=("file_id",),
        answers=(Answer(200, "The upload.", (Content(Upload),)),),
        problems=(*READ, "not_found"),
    ),
    Operation(
        method="HEAD",
        path=_UPLOAD,
        id="headUpload",
        tag="uploads",
        summary="Look whether an upload is there",
        parameters=("file_id",),
        answers=(Answer(200, "It is there."),),
        problems=(*READ, "not_found"),
    ),
    Operation(
        method="DELETE",
        path=_UPLOAD,
        id="deleteUpload",
        tag="uploads",
        summary="Remove an upload that no unfinished job names",
        parameters=("file_id",),
        answers=(Answer(204, "It is gone."),),
        problems=(*WRITTEN, "not_found", "upload_in_use"),
    ),
)

OTHERS = (
    Operation(
        method="GET",
        path="/v1/queues",
        id="listQueues",
        tag="queues",
        summary="List the queues",
        answers=(Answer(200, "All of them.", (Content(QueueList),)),),
        problems=READ,
    ),
    Operation(
        method="PATCH",
        path=_QUEUE,
        id="changeQueue",
        tag="queues",
        summary="Change the limit of a queue, pause or resume it",
        parameters=("queue_name",),
        body=Body((Content(QueuePatch),)),
        answers=_QUEUE_NOW,
        problems=(*_QUEUE_PROBLEMS, *SENT),
    ),
    Operation(
        method="POST",
        path=f"{_QUEUE}/pause",
        id="pauseQueue",
        tag="queues",
        summary="Start no more jobs of a queue",
        parameters=("queue_name",),
        answers=_QUEUE_NOW,
        problems=_QUEUE_PROBLEMS,
    ),
    Operation(
        method="POST",
        path=f"{_QUEUE}/resume",
        id="resumeQueue",
        tag="queues",
        summary="Start jobs of a queue again",
        parameters=("queue_name",),
        answers=_QUEUE_NOW,
        problems=_QUEUE_PROBLEMS,
    ),
    Operation(
        method="GET",
        path="/v1/handlers",
        id="listHandlers",
        tag="daemon",
        summary="List what can be submitted here",
        answers=(Answer(200, "The installed kinds.", (Content(HandlerList),)),),
        problems=(*ASKED, "starting"),
    ),
    Operation(
        method="POST",
        path="/v1/handlers/reload",
        id="reloadHandlers",
        tag="daemon",
        summary="Load new and changed plugins",
        answers=(Answer(200, "The kinds that are installed now.", (Content(HandlerList),)),),
        problems=(*ASKED, "starting", "handlers_not_loaded"),
    ),
    Operation(
        method="GET",
        path="/v1/workers",
        id="listWorkers",
        tag="daemon",
        summary="List the worker processes",
        answers=(Answer(200, "All of them.", (Content(WorkerList),)),),
        problems=ASKED,
    ),
    Operation(
        method="POST",
        path="/v1/tokens",
        id="createToken",
        tag="tokens",
        summary="Make a token for a principal",
        body=Body((Content(TokenRequest),)),
        answers=(
            Answer(
                201,
                "The token, shown this once.",
                (Content(NewToken),),
                links=("revokeToken",),
            ),
        ),
        problems=(*WRITTEN, *SENT),
    ),
    Operation(
        method="GET",
        path="/v1/tokens",
        id="listTokens",
        tag="tokens",
        summary="List the tokens of all principals, newest first",
        parameters=("page_size", "page_token"),
        answers=(Answer(200, "A page of tokens.", (Content(TokenList),), ("Link",)),),
        problems=(*READ, "invalid_parameter", "invalid_page_token"),
    ),
    Operation(
        method="DELETE",
        path="/v1/tokens/{token_id}",
        id="revokeToken",
        tag="tokens",
        summary="Revoke a token, again too",
        parameters=("token_id",),
        answers=(Answer(204, "It opens nothing any more."),),
        problems=(*WRITTEN, "not_found"),
    ),
    Operation(
        method="GET",
        path="/v1/status",
        id="getStatus",
        tag="daemon",
        summary="Read what runs here and how busy it is",
        answers=(Answer(200, "The daemon's state.", (Content(Status),)),),
        problems=READ,
    ),
    Operation(
        method="GET",
        path="/livez",
        id="getLiveness",
        tag="daemon",
        summary="Ask whether the daemon answers",
        answers=(Answer(200, "It does.", (Content(Health),)),),
        problems=("internal_error",),
    ),
    Operation(
        method="GET",
        path="/readyz",
        id="getReadiness",
        tag="daemon",
        summary="Ask whether the daemon is ready",
        answers=(
            Answer(200, "It is.", (Content(Health),)),
            Answer(503, "It is not; the body says why.", (Content(Health),)),
        ),
        problems=("internal_error",),
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        id="getOpenapi",
        tag="daemon",
        summary="Get this document",
        parameters=("if_none_match",),
        answers=(
            Answer(200, "The document.", (Content({"type": "object"}, JSON),), ("ETag",)),
            Answer(304, "The caller has it.", headers=("ETag",)),
        ),
        problems=ASKED,
    ),
)
