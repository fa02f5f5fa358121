"""Calls that change things: what is sent, and what an answer that was lost leads to."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobd.client import ApiError, Client, FileChanged, Unreachable

JobJson = Callable[..., bytes]
CONTENT = b"x" * 700_000
FILE_ID = f"file_{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def uploaded(file_id: str = FILE_ID) -> bytes:
    return f'{{"file_id":"{file_id}","size_bytes":{len(CONTENT)},"expires_at":null}}'.encode()


def test_a_file_is_uploaded_once(recorded: Any, file: Path) -> None:
    recorded.reply(status=404)
    recorded.reply(uploaded(), 201)
    recorded.reply()
    told: list[tuple[str, int, int]] = []

    with Client(recorded.socket) as client:
        ids = [client.upload(file, lambda *step: told.append(step)), client.upload(file)]

    assert ids == [FILE_ID, FILE_ID]
    asked = [(request.method, request.path) for request in recorded.requests]
    head = ("HEAD", f"/v1/uploads/{FILE_ID}")
    assert asked == [head, ("POST", "/v1/uploads"), head]
    assert recorded.requests[1].body == CONTENT
    sizes = [262_144, 524_288, 700_000]
    expected = [("hashing", size, 700_000) for size in sizes]
    assert told == expected + [("uploading", size, 700_000) for size in sizes]


def test_an_empty_file_is_a_file(recorded: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    file_id = f"file_{hashlib.sha256().hexdigest()}"
    recorded.reply(status=404)
    recorded.reply(uploaded(file_id), 201)

    with Client(recorded.socket) as client:
        assert client.upload(tmp_path / "empty") == file_id


def test_an_upload_whose_answer_is_lost_is_sent_again_from_its_beginning(
    recorded: Any, file: Path
) -> None:
    recorded.reply(status=404)
    recorded.hang_up()
    recorded.reply(uploaded(), 201)

    with Client(recorded.socket) as client:
        client.upload(file)

    assert recorded.requests[2].body == CONTENT


def test_an_upload_that_is_refused_says_why(recorded: Any, file: Path) -> None:
    recorded.reply(status=404)
    recorded.refuse(413, "upload_too_large")

    with Client(recorded.socket) as client, pytest.raises(ApiError, match="upload_too_large"):
        client.upload(file)


def test_a_file_that_changes_meanwhile_is_not_taken_for_what_it_was(
    recorded: Any, file: Path
) -> None:
    recorded.reply(status=404)
    recorded.reply(uploaded("file_" + "0" * 64), 201)

    with Client(recorded.socket) as client, pytest.raises(FileChanged):
        client.upload(file)


def test_a_file_that_becomes_shorter_ends_the_upload(recorded: Any, file: Path) -> None:
    recorded.reply(status=404)

    def cut(what: str, done_bytes: int, _: int) -> None:
        if done_bytes == len(CONTENT):
            file.write_bytes(CONTENT[:1000])

    with Client(recorded.socket) as client, pytest.raises(FileChanged, match="shorter"):
        client.upload(file, cut)


def test_a_file_that_is_not_there_is_an_error_of_the_file(recorded: Any, tmp_path: Path) -> None:
    with Client(recorded.socket) as client, pytest.raises(FileNotFoundError):
        client.upload(tmp_path / "absent")


def test_a_retry_is_a_new_job(recorded: Any, job_json: JobJson) -> None:
    recorded.reply(job_json(job_id="job_new", retry_of="job_x"), 202)

    with Client(recorded.socket) as client:
        assert client.retry("job_x").value.job_id == "job_new"

    assert recorded.requests[0].method == "POST"
    assert recorded.requests[0].path == "/v1/jobs/job_x/retry"


def test_a_retry_whose_answer_is_lost_leads_to_the_same_new_job(
    recorded: Any, job_json: JobJson
) -> None:
    recorded.hang_up()
    recorded.refuse(409, "job_already_retried")
    recorded.reply(job_json(status="failed", done=True, retried_as="job_new"))
    recorded.reply(job_json(job_id="job_new"))

    with Client(recorded.socket) as client:
        assert client.retry("job_x").value.job_id == "job_new"


def test_a_second_retry_is_refused(recorded: Any) -> None:
    recorded.refuse(409, "job_already_retried")

    with Client(recorded.socket) as client, pytest.raises(ApiError):
        client.retry("job_x")


def test_a_deletion_whose_answer_is_lost_is_a_deletion(recorded: Any) -> None:
    recorded.hang_up()
    recorded.refuse(404, "job_not_found")

    with Client(recorded.socket) as client:
        client.delete("job_x")

    assert recorded.requests[0].method == "DELETE"


def test_a_job_that_is_not_there_is_not_deleted(recorded: Any) -> None:
    recorded.refuse(404, "job_not_found")

    with Client(recorded.socket) as client, pytest.raises(ApiError):
        client.delete("job_x")


def test_a_secret_is_asked_for_once(recorded: Any) -> None:
    """A second one would make the first, which nobody has seen, the only other that signs."""
    with Client(recorded.socket) as client, pytest.raises(Unreachable):
        client.rotate_secret()

    assert len(recorded.requests) == 1
