"""Job tokens: what opens one job, and nothing else, to whoever holds it.

A token is made of the job's id and the daemon's own key, so that none is stored, each
answer about a job tells the same one, and it ends with the job.

Not here: what a job token may do (api/access.py), the tokens of principals (store/tokens.py).
"""

import hmac
import re
from base64 import urlsafe_b64encode

PREFIX = "jdj_"
"""What every job token begins with, and nothing else."""

LENGTH = 69
"""Characters of a job token: the prefix, 32 hex digits, an underscore, 32 of base64url."""

_FORM = re.compile(r"jdj_(?P<job>[0-9a-f]{32})_[A-Za-z0-9_-]{32}(?!\n)")
_MAC_BYTES = 24


def issue(job_id: str, server_key: bytes) -> str:
    """Return the token of the job `job_<32 hex digits>`: always the same one."""
    mac = hmac.digest(server_key, b"job:" + job_id.encode(), "sha256")
    return f"{PREFIX}{job_id[4:]}_{urlsafe_b64encode(mac[:_MAC_BYTES]).decode()}"


def check(token: str, server_key: bytes) -> str | None:
    """Return the id of the job that the token opens, None if it is not one of this daemon's.

    Whether there is such a job is not known here. Takes as long however wrong it is.
    """
    form = _FORM.fullmatch(token)
    if form is None:
        return None
    job_id = f"job_{form['job']}"
    right = issue(job_id, server_key)
    return job_id if hmac.compare_digest(token.encode(), right.encode()) else None
