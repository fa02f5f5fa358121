"""Downloads: whole or refused, and where one goes on that broke off."""

import base64
import fcntl
import hashlib
from pathlib import Path
from typing import Any

import pytest

from jobd.client import ApiError, BadAnswer, Client, Unreachable

LONG = bytes(range(256)) * 8192
HALF = len(LONG) // 2
TAG = '"abc"'


def digest_of(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def cut_off(recorded: Any, body: bytes, sent: int, tag: str = TAG) -> None:
    head = [
        "HTTP/1.1 200 -",
        f"Content-Length: {len(body)}",
        f"ETag: {tag}",
        f"Repr-Digest: {digest_of(body)}",
    ]
    recorded.reply_cut_off("\r\n".join([*head, "", ""]).encode() + body[:sent])


def rest(recorded: Any, body: bytes, sent: int, tag: str = TAG) -> None:
    where = f"bytes {sent}-{len(body) - 1}/{len(body)}"
    recorded.reply(body[sent:], 206, ETag=tag, Content_Range=where)


def downloaded(recorded: Any) -> bytes:
    with Client(recorded.socket, patience_s=0) as client, client.result("job_x") as download:
        return b"".join(download.chunks())


def test_a_download_gives_the_bytes(recorded: Any) -> None:
    recorded.reply(b"abc", Content_Type="text/csv", Repr_Digest=digest_of(b"abc"))

    with Client(recorded.socket) as client, client.result("job_x", artifact="a b") as download:
        body = b"".join(download.chunks())

    assert (body, download.media_type, download.size_bytes) == (b"abc", "text/csv", 3)
    assert recorded.requests[0].path == "/v1/jobs/job_x/artifacts/a%20b"


def test_the_client_may_be_used_meanwhile(recorded: Any, job_json: Any) -> None:
    recorded.reply(b"abc")
    recorded.reply(job_json())

    with Client(recorded.socket) as client, client.result("job_x") as download:
        client.get("job_x")
        assert b"".join(download.chunks()) == b"abc"


def test_one_with_another_digest_is_refused(recorded: Any) -> None:
    recorded.reply(b"abc", Repr_Digest=digest_of(b"abd"))

    with pytest.raises(BadAnswer, match="digest"):
        downloaded(recorded)


@pytest.mark.parametrize("tag", ["", 'ETag: W/"1"\r\n'], ids=["no-tag", "weak-tag"])
def test_one_that_is_cut_off_and_may_change_is_refused(recorded: Any, tag: str) -> None:
    recorded.reply_cut_off(f"HTTP/1.1 200 -\r\nContent-Length: 9\r\n{tag}\r\nabc".encode())

    with pytest.raises(BadAnswer, match="3 of 9"):
        downloaded(recorded)


def test_one_that_breaks_off_goes_on_where_it_was(recorded: Any) -> None:
    cut_off(recorded, LONG, HALF)
    rest(recorded, LONG, HALF)

    assert downloaded(recorded) == LONG
    asked = recorded.requests[1].headers
    assert (asked["Range"], asked["If-Range"]) == (f"bytes={HALF}-", TAG)


def test_what_comes_again_from_the_beginning_is_passed_over(recorded: Any) -> None:
    cut_off(recorded, LONG, HALF)
    recorded.reply(LONG, ETag=TAG)

    assert downloaded(recorded) == LONG


def test_content_that_has_changed_is_not_put_behind_what_it_was(recorded: Any) -> None:
    cut_off(recorded, LONG, HALF)
    recorded.reply(LONG[::-1], ETag='"other"')

    with pytest.raises(BadAnswer, match="changed"):
        downloaded(recorded)


def test_another_part_than_was_asked_for_is_refused(recorded: Any) -> None:
    cut_off(recorded, LONG, HALF)
    rest(recorded, LONG, HALF - 1)

    with pytest.raises(BadAnswer, match="follows byte"):
        downloaded(recorded)


def test_one_that_gets_no_further_is_given_up(recorded: Any) -> None:
    cut_off(recorded, LONG, HALF)
    where = f"Content-Range: bytes {HALF}-{len(LONG) - 1}/{len(LONG)}"
    nothing = f"HTTP/1.1 206 -\r\nETag: {TAG}\r\nContent-Length: {HALF}\r\n{where}\r\n\r\n"
    recorded.reply_cut_off(nothing.encode())

    with pytest.raises(BadAnswer, match=f"{HALF} of {len(LONG)}"):
        downloaded(recorded)


def test_one_that_expires_meanwhile_says_so(recorded: Any) -> None:
    cut_off(recorded, LONG, HALF)
    recorded.refuse(410, "job_expired")

    with pytest.raises(ApiError, match="job_expired"):
        downloaded(recorded)


def saved(recorded: Any, path: Path) -> None:
    with Client(recorded.socket, patience_s=0) as client:
        client.download("job_x", path)


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".jobd-*.part"))


def test_a_file_that_broke_off_goes_on_in_the_next_call(recorded: Any, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before")
    cut_off(recorded, LONG, HALF)  # and then nobody answers
    with pytest.raises(Unreachable):
        saved(recorded, path)
    assert path.read_text() == "before"
    recorded.reply(LONG, ETag=TAG, Repr_Digest=digest_of(LONG))
    rest(recorded, LONG, HALF)

    saved(recorded, path)

    assert path.read_bytes() == LONG
    assert recorded.requests[-1].headers["Range"] == f"bytes={HALF}-"
    assert parts(tmp_path) == []


def test_a_file_whose_beginning_is_damaged_is_refused_and_begun_again(
    recorded: Any, tmp_path: Path
) -> None:
    path = tmp_path / "out"
    cut_off(recorded, LONG, HALF)
    with pytest.raises(Unreachable):
        saved(recorded, path)
    (part,) = parts(tmp_path)
    part.write_bytes(bytes(HALF))
    recorded.reply(LONG, ETag=TAG, Repr_Digest=digest_of(LONG))
    rest(recorded, LONG, HALF)
    recorded.reply(LONG, ETag=TAG, Repr_Digest=digest_of(LONG))

    with pytest.raises(BadAnswer, match="digest"):
        saved(recorded, path)
    saved(recorded, path)

    assert path.read_bytes() == LONG


def test_two_that_save_the_same_have_a_file_each(recorded: Any, tmp_path: Path) -> None:
    path = tmp_path / "out"
    cut_off(recorded, LONG, HALF)
    with pytest.raises(Unreachable):
        saved(recorded, path)
    (part,) = parts(tmp_path)
    recorded.reply(LONG, ETag=TAG, Repr_Digest=digest_of(LONG))

    with part.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        saved(recorded, path)

    assert path.read_bytes() == LONG
    assert part.stat().st_size == HALF


def test_little_that_arrived_is_not_kept(recorded: Any, tmp_path: Path) -> None:
    cut_off(recorded, LONG, 100)

    with pytest.raises(Unreachable):
        saved(recorded, tmp_path / "out")

    assert parts(tmp_path) == []


def test_an_empty_result_is_a_file(recorded: Any, tmp_path: Path) -> None:
    recorded.reply(ETag=TAG, Repr_Digest=digest_of(b""))

    saved(recorded, tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == b""
