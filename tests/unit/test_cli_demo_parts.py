"""The demo's picture and the app that it has called back, before any daemon is asked."""

import http.client
import socket
import time
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from jobd.cli.demo_pictures import COLOURS, HEIGHT, WIDTH, draw, seen
from jobd.cli.demo_receiver import Receiver
from jobd.domain.signing import new_secret, sign

BODY = (
    b'{"type":"job.completed","timestamp":"2026-01-02T03:04:05Z","data":{"job_id":"job_x",'
    b'"kind":"a.b","queue":"default","status":"completed","done":true,"partial":false,'
    b'"attempt":1,"batch_id":null,"metadata":{},"error":null,"created_at":"2026-01-02T03:04:05Z",'
    b'"updated_at":"2026-01-02T03:04:05Z","completed_at":null,"poll_url":"/p","result_url":null}}'
)


def test_the_picture_is_stored_on_its_side_and_says_so(tmp_path: Path) -> None:
    draw(tmp_path / "p.png")

    with Image.open(tmp_path / "p.png") as image:
        upright = ImageOps.exif_transpose(image)

    assert image.size == (HEIGHT, WIDTH)
    assert upright.size == (WIDTH, HEIGHT)
    corners = [(x, y) for y in (0, HEIGHT - 1) for x in (0, WIDTH - 1)]
    assert [upright.getpixel(corner) for corner in corners] == [
        tuple(colour) for colour in COLOURS.values()
    ]
    assert seen((tmp_path / "p.png").read_bytes()) == (
        HEIGHT,
        WIDTH,
        ("green", "yellow", "red", "blue"),
    )


@pytest.mark.parametrize("size", [(40, 20), (7, 5), (2, 2)])
def test_what_another_program_wrote_is_read(tmp_path: Path, size: tuple[int, int]) -> None:
    """A gradient in every row and column makes a writer use all the filters there are."""
    gradient = Image.radial_gradient("L").resize(size)
    Image.merge("RGB", [gradient] * 3).save(tmp_path / "p.png")

    assert seen((tmp_path / "p.png").read_bytes())[:2] == size


def test_a_picture_with_transparency_is_not_taken_for_one_without(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2)).save(tmp_path / "p.png")

    with pytest.raises(ValueError, match="RGB"):
        seen((tmp_path / "p.png").read_bytes())


def call(receiver: Receiver, secret: str, body: bytes) -> int:
    """Post a callback as the daemon would."""
    now_s = int(time.time())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": sign([secret], "msg_1", now_s, body),
    }
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(receiver.socket)
    connection.request("POST", "/done", body=body, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_callback_counts_when_its_signature_is_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = new_secret()
    with Receiver(tmp_path / "app") as receiver:
        statuses = [call(receiver, key, BODY) for key in (new_secret(), secret)]

        assert receiver.genuine(secret, ["job_x"], 30) == {"job_x"}
        assert receiver.genuine(secret, ["job_x"], 0) == set()

    assert statuses == [204, 204]
    assert capsys.readouterr().err == "jobd: a callback is not genuine: no signature matches\n"
