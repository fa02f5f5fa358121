"""Removes from disk what a deleted job, or an attempt that is over, has left there.

Called after the commit that deletes the job: until then its rows name these files, and
what a crash leaves behind in between nothing names. Handlers run as the same user and may
put links anywhere below their folders: none is followed, a link itself is removed.

Not here: what may be removed (engine/), uploads, which several jobs may name (uploads.py).
"""

import contextlib
import logging
import os
import shutil
import stat
from collections.abc import Collection
from pathlib import Path

from jobd.files.layout import Layout

log = logging.getLogger(__name__)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK_BYTES = 512
"""Of st_blocks, whatever the file system's own are."""


def remove_job(layout: Layout, job_id: str) -> None:
    """Remove the job's artifacts and logs; what cannot be removed is logged. Blocks."""
    for root in (layout.artifacts, layout.logs):
        remove_below(root, job_id)


def job_bytes(layout: Layout, job_id: str) -> int:
    """Return what the job's artifacts and logs take on disk. Blocks."""
    return sum(used_bytes(root / job_id) for root in (layout.artifacts, layout.logs))


def remove_jobs(layout: Layout, job_ids: Collection[str]) -> int:
    """Remove the artifacts and logs of jobs; return the bytes of disk that they took. Blocks."""
    freed = 0
    for root in (layout.artifacts, layout.logs):
        for job_id in job_ids:
            if os.path.lexists(f"{root}/{job_id}"):  # most jobs have left nothing
                freed += used_bytes(root / job_id)
                remove_below(root, job_id)
    return freed


def remove_below(root: Path, *segments: str) -> None:
    """Remove a file or a whole folder, each segment a name below `root`. Blocks.

    `root` itself may be reached by links. Nothing there is nothing to do; what cannot be
    removed is logged.
    """
    *folders, name = segments
    try:
        with contextlib.ExitStack() as stack:
            at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, at)
            for folder in folders:
                at = os.open(folder, _FOLDER, dir_fd=at)
                stack.callback(os.close, at)
            if stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=at)
            else:
                os.unlink(name, dir_fd=at)
    except FileNotFoundError:
        return
    except OSError as error:
        about = {"path": str(root.joinpath(*segments)), "reason": str(error)}
        log.warning("What a job has left was not removed.", extra=about)


def used_bytes(path: Path, *, without: frozenset[str] = frozenset()) -> int:
    """Return what a file or a folder takes on disk, with all that is below it. Blocks.

    What is not there, or vanishes meanwhile, takes nothing; names in `without` directly
    below the folder do not count. A file with several names counts for each.
    """
    try:
        status = path.lstat()
    except OSError:
        return 0
    used = status.st_blocks * _BLOCK_BYTES
    if not stat.S_ISDIR(status.st_mode):
        return used
    for folder, names, files, at in os.fwalk(path, onerror=None):
        for name in [*names, *files]:
            if name in without and folder == str(path):
                continue
            with contextlib.suppress(OSError):
                below = os.stat(name, dir_fd=at, follow_symlinks=False)
                used += below.st_blocks * _BLOCK_BYTES
    return used
