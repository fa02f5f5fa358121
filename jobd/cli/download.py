"""Where the bytes of a result go: stdout, or a file that is whole or not there at all.

Not here: how a file becomes whole (client/downloads.py).
"""

import sys
from pathlib import Path

import click

from jobd.client import Download


def print_download(download: Download) -> None:
    """Write the bytes to stdout; JSON gets the newline that it lacks."""
    stdout = sys.stdout.buffer
    for chunk in download.chunks():
        stdout.write(chunk)
    if download.media_type == "application/json":
        stdout.write(b"\n")
    stdout.flush()


def save_download(download: Download, path: Path) -> None:
    """Put the bytes at `path`, replacing a file there once all of them have arrived.

    FileError when it cannot be written; then, and after a ClientError, a file at `path` is
    as it was. A pipe or a device is written to, never replaced.
    """
    try:
        download.save(path)
    except OSError as error:
        raise click.FileError(str(path), hint=error.strerror) from error
