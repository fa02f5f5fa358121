"""The demo's picture and its thumbnails: what is asked for, and whether it came out right.

Not here: the picture itself (demo_pictures.py).
"""

from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from jobd.cli.demo_pictures import COLOURS, HEIGHT, WIDTH, draw, seen
from jobd.cli.errors import say
from jobd.cli.output import Column, print_table
from jobd.client import Client
from jobd.wire.jobs import JobDetail
from jobd.wire.submission import SubmitRequest

KIND = "thumbs.make"

_SIZES = (96, 240)


class Thumbnail(msgspec.Struct, frozen=True):
    """One thumbnail, as `thumbs.make` answers."""

    name: str
    width: int
    height: int
    size_bytes: int


class ThumbsResult(msgspec.Struct, frozen=True):
    """What `thumbs.make` answers, as far as it is printed."""

    thumbnails: list[Thumbnail]


class Row(NamedTuple):
    """A thumbnail, what is seen in its file, and where that was read."""

    thumbnail: Thumbnail
    colours: tuple[str, ...]
    url: str


_ROWS: tuple[Column[Row], ...] = (
    Column("THUMBNAIL", lambda row: row.thumbnail.name),
    Column("SIZE", lambda row: f"{row.thumbnail.width} x {row.thumbnail.height}", right=True),
    Column("BYTES", lambda row: f"{row.thumbnail.size_bytes:,}", right=True),
    Column("SHOWS", lambda row: " ".join(row.colours)),
    Column("READ FROM", lambda row: f"GET {row.url}"),
)


def request(folder: Path, callback_url: str) -> SubmitRequest:
    """Draw the picture and return the job that makes its thumbnails."""
    picture = folder / "picture.png"
    draw(picture)
    args = {"source": str(picture), "sizes": list(_SIZES), "format": "png"}
    return SubmitRequest(kind=KIND, args=args, callback_url=callback_url)


def print_thumbs(client: Client, job: JobDetail) -> bool:
    """Print what came of the picture; return whether the thumbnails show it the right way up."""
    if job.status != "completed":
        return False
    made = msgspec.json.decode(job.result, type=ThumbsResult).thumbnails
    rows, good = [], len(made) == len(_SIZES)
    for thumbnail in made:
        with client.result(job.job_id, artifact=thumbnail.name) as download:
            width, height, colours = seen(b"".join(download.chunks()))
        url = f"{job.artifacts_url}/{thumbnail.name}"
        rows.append(Row(thumbnail, colours, url))
        upright = width * HEIGHT == height * WIDTH and colours == tuple(COLOURS)
        good = good and upright and (width, height) == (thumbnail.width, thumbnail.height)
    click.echo(f"A picture of {WIDTH} x {HEIGHT}, stored lying on its side:")
    print_table(_ROWS, rows)
    if not good:
        say(f"jobd: the thumbnails should show {', '.join(COLOURS)}")
    click.echo()
    return good
