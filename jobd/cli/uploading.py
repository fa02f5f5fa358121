"""The files that a submission names: uploaded, and put into its args as `{"$file": id}`."""

import sys
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from jobd.cli import curl
from jobd.cli.output import plain, size_text
from jobd.cli.progress import Block, bar
from jobd.client import Client, id_of
from jobd.wire.submission import SubmitRequest


def existing(files: Mapping[str, str]) -> dict[str, Path]:
    """Return the paths. UsageError for one that is no file: a pipe cannot be read twice."""
    paths = {name: Path(path) for name, path in files.items()}
    for name, path in paths.items():
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "does not exist"
            raise click.UsageError(f"--file {name}: {path} {what}")
    return paths


def with_uploads(
    client: Client, request: SubmitRequest, paths: Mapping[str, Path]
) -> SubmitRequest:
    """Upload the files, with a bar, and return the request with the args that name them."""
    args = dict(request.args)
    for name, path in paths.items():
        with Block(sys.stderr) as block:

            def show(what: str, done_bytes: int, size_bytes: int) -> None:
                block.paint([upload_line(what, path.name, done_bytes, size_bytes)])  # noqa: B023

            try:
                if curl.asked():
                    click.echo(curl.upload(client.address, path, with_token=client.has_token))
                    args[name] = {"$file": id_of(path)}
                else:
                    args[name] = {"$file": client.upload(path, show)}
            except OSError as error:
                raise click.FileError(str(path), hint=error.strerror) from error
    return msgspec.structs.replace(request, args=args)


def upload_line(what: str, name: str, done_bytes: int, size_bytes: int) -> str:
    """Return what the bar of an upload says."""
    pct = 100.0 * done_bytes / size_bytes if size_bytes else 100.0
    sizes = f"{size_text(done_bytes)} of {size_text(size_bytes)}"
    return f"{plain(name)}  {bar(pct)}  {what} {sizes}"
