"""Removes from disk what a deleted job has left there.

Called after the commit that deletes the job: until then its rows name these files, and
what a crash leaves behind in between nothing names.

Not here: uploads, which several jobs may name (uploads.py).
"""

import logging
import shutil

from jobd.files.layout import Layout

log = logging.getLogger(__name__)


def remove_job(layout: Layout, job_id: str) -> None:
    """Remove the job's artifacts and logs; what cannot be removed is logged. Blocks."""
    for folder in (layout.artifacts / job_id, layout.logs / job_id):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            about = {"folder": str(folder), "reason": str(error)}
            log.warning("A deleted job's folder was not removed.", extra=about)
