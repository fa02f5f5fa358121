"""Job tokens: what opens one job, and nothing else, to whoever holds it.

A token is made of the job's id and the daemon's own key, so that none is stored, each
answer about a job tells the same one, and it ends with the job.

Not here: what a job token may do (api/access.py), the tokens of principals (store/tokens.py).
"""

import functools
import hashlib
import hmac
import re
from binascii import b2a_base64

PREFIX = "jdj_"
"""What every job token begins with, and nothing else."""

LENGTH = 69
"""Characters of a job token: the prefix, 32 hex digits, an underscore, 32 of base64url."""

_FORM = re.compile(r"jdj_(?P<job>[0-9a-f]{32})_[A-Za-z0-9_-]{32}(?!\n)")
_MAC_BYTES = 24
_BLOCK_BYTES = 64
_URLSAFE = bytes.maketrans(b"+/", b"-_")


def issue(job_id: str, server_key: bytes) -> str:
    """Return the token of the job `job_<32 hex digits>`: always the same one."""
    inner, outer = _keyed(server_key)
    inner, outer = inner.copy(), outer.copy()
    inner.update(b"job:" + job_id.encode())
    outer.update(inner.digest())
    mac = b2a_base64(outer.digest()[:_MAC_BYTES], newline=False).translate(_URLSAFE)
    return f"{PREFIX}{job_id[4:]}_{mac.decode()}"


@functools.lru_cache(maxsize=4)
def _keyed(key: bytes) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """Return the two hashes of HMAC-SHA256 that have taken the key in.

    To copy them costs half of what hmac.digest does, which looks SHA-256 up each time.
    """
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    key = key.ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in key) for pad in (0x36, 0x5C))
    return hashlib.sha256(inner), hashlib.sha256(outer)


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
