"""The operations on jobs: submit, list, read, cancel, retry, delete, and what a job leaves."""

from jobd.api.openapi.shapes import (
    BINARY,
    JSON,
    NO_ROOM,
    OF_JOB,
    READ,
    SENT,
    SUBMITTED,
    WRITTEN,
    Answer,
    Body,
    Callback,
    Content,
    Operation,
)
from jobd.wire.attempts import AttemptList
from jobd.wire.jobs import ArtifactList, JobCreated, JobDetail, JobList
from jobd.wire.submission import SubmitRequest

_JOB = "/v1/jobs/{job_id}"
_DETAIL = (Content(JobDetail),)
_CREATED = (Content(JobCreated),)
_READ_JOB = ("job_id", "access_token")
_VERSION = ("ETag", "Retry-After?")
_ANSWERED = ("Location", "ETag", "Preference-Applied?", "Idempotent-Replayed?")
_NEXT = ("getJob", "cancelJob", "retryJob", "deleteJob", "getResult")
_FILE = ("ETag", "Repr-Digest", "X-Content-Type-Options", "Accept-Ranges")
_NAMED = (*_FILE, "Content-Disposition?")
# code generators do not know what to make of any type, so the plainest is named as well
_BYTES = (Content(BINARY, "application/octet-stream"), Content({}, "*/*"))
_HELD = ("if_match", "if_none_match")
_CONDITIONS = (*_HELD, "range", "if_range")
_HEAD = Answer(200, "The headers of the bytes.", headers=_NAMED)
_PART = Answer(206, "The range that was asked for.", _BYTES, (*_NAMED, "Content-Range"))
_NOT_MODIFIED = Answer(304, "The caller has it.", headers=("ETag",))
_FILE_PROBLEMS = (*READ, *OF_JOB, "not_found", "storage_failed", "precondition_failed")
_RESULT_PROBLEMS = (*_FILE_PROBLEMS, "result_not_ready", "job_failed")

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/jobs",
        id="submitJob",
        tag="jobs",
        summary="Submit a job",
        description="It is on disk when this is answered. A job that failed within the wait is"
        " still a 200: the status of HTTP tells of the call, that in the body of the job.",
        parameters=("prefer", "idempotency_key", "content_digest", "traceparent"),
        body=Body((Content(SubmitRequest),)),
        answers=(
            Answer(200, "It is done already.", _CREATED, _ANSWERED, _NEXT),
            Answer(202, "It is accepted.", _CREATED, (*_ANSWERED, "Retry-After"), _NEXT),
        ),
        problems=(
            *WRITTEN,
            *SENT,
            *SUBMITTED,
            "invalid_idempotency_key",
            "digest_mismatch",
            "idempotency_key_reused",
            "digest_mismatch",
            "job_expired",
        ),
        calls_back=Callback("job.completed", "{$request.body#/callback_url}"),
    ),
    Operation(
        method="GET",
        path="/v1/jobs",
        id="listJobs",
        tag="jobs",
        summary="List jobs, newest first",
        parameters=(
            "of_status",
            "of_kind",
            "of_queue",
            "of_batch",
            "of_key",
            "created_after",
            "created_before",
            "all",
            "page_size",
            "page_token",
        ),
        answers=(Answer(200, "A page of jobs.", (Content(JobList),), ("Link",)),),
        problems=(*READ, "invalid_parameter", "invalid_page_token"),
    ),
    Operation(
        method="GET",
        path=_JOB,
        id="getJob",
        tag="jobs",
        summary="Read a job, or wait for its next change",
        parameters=(*_READ_JOB, "prefer", "if_none_match"),
        answers=(
            Answer(200, "The job.", _DETAIL, (*_VERSION, "Preference-Applied?")),
            Answer(
                304,
                "It is as the caller has it; only Retry-After is fresh.",
                headers=(*_VERSION, "Preference-Applied?"),
            ),
        ),
        problems=(*READ, *OF_JOB),
    ),
    Operation(
        method="DELETE",
        path=_JOB,
        id="deleteJob",
        tag="jobs",
        summary="Delete a job that is over, and all that it left",
        parameters=("job_id", "if_match"),
        answers=(Answer(204, "It is gone."),),
        problems=(*WRITTEN, *OF_JOB, "job_active", "precondition_failed"),
    ),
    Operation(
        method="POST",
        path=f"{_JOB}/cancel",
        id="cancelJob",
        tag="jobs",
        summary="Cancel a job",
        parameters=("job_id",),
        answers=(
            Answer(200, "It is cancelled, or was before.", _DETAIL, _VERSION),
            Answer(202, "Its attempt is being ended.", _DETAIL, ("ETag", "Retry-After")),
        ),
        problems=(*WRITTEN, *OF_JOB, "job_already_finished"),
    ),
    Operation(
        method="POST",
        path=f"{_JOB}/retry",
        id="retryJob",
        tag="jobs",
        summary="Submit a job that failed or was cancelled anew",
        parameters=("job_id",),
        answers=(
            Answer(202, "The new job.", _DETAIL, ("Location", "ETag", "Retry-After?"), ("getJob",)),
        ),
        problems=(
            *WRITTEN,
            *OF_JOB,
            *NO_ROOM,
            "job_active",
            "job_completed",
            "job_already_retried",
            "input_missing",
        ),
    ),
    Operation(
        method="GET",
        path=f"{_JOB}/attempts",
        id="listAttempts",
        tag="jobs",
        summary="List the attempts of a job, oldest first",
        parameters=_READ_JOB,
        answers=(Answer(200, "All of them.", (Content(AttemptList),)),),
        problems=(*READ, *OF_JOB),
    ),
    Operation(
        method="GET",
        path=f"{_JOB}/result",
        id="getResult",
        tag="results",
        summary="Get the result of a job",
        description="What the handler returned: JSON, or the file that it made.",
        parameters=(*_READ_JOB, *_CONDITIONS),
        answers=(
            Answer(200, "All of it.", (Content({}, JSON), *_BYTES), _NAMED),
            _PART,
            _NOT_MODIFIED,
        ),
        problems=(*_RESULT_PROBLEMS, "range_not_satisfiable"),
    ),
    Operation(
        method="HEAD",
        path=f"{_JOB}/result",
        id="headResult",
        tag="results",
        summary="Look at the result of a job",
        parameters=(*_READ_JOB, *_HELD),
        answers=(_HEAD, _NOT_MODIFIED),
        problems=_RESULT_PROBLEMS,
    ),
    Operation(
        method="GET",
        path=f"{_JOB}/artifacts",
        id="listArtifacts",
        tag="results",
        summary="List the files that a job left",
        parameters=_READ_JOB,
        answers=(Answer(200, "The newest of each name.", (Content(ArtifactList),)),),
        problems=(*READ, *OF_JOB),
    ),
    Operation(
        method="GET",
        path=f"{_JOB}/artifacts/{{name}}",
        id="getArtifact",
        tag="results",
        summary="Get a file that a job left",
        parameters=(*_READ_JOB, "artifact_name", *_CONDITIONS),
        answers=(Answer(200, "All of it.", _BYTES, _NAMED), _PART, _NOT_MODIFIED),
        problems=(*_FILE_PROBLEMS, "range_not_satisfiable"),
    ),
    Operation(
        method="HEAD",
        path=f"{_JOB}/artifacts/{{name}}",
        id="headArtifact",
        tag="results",
        summary="Look at a file that a job left",
        parameters=(*_READ_JOB, "artifact_name", *_HELD),
        answers=(_HEAD, _NOT_MODIFIED),
        problems=_FILE_PROBLEMS,
    ),
)
