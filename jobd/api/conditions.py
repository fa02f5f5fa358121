"""Conditions on stored bytes, and parts of them: If-Match, Range, If-Range, Content-Digest.

Conditions hold in the order of RFC 9110, section 13.2.2: If-Match, then If-None-Match
(preferences.py), then If-Range with Range. Nothing here has a Last-Modified, so conditions
on a date are not looked at, and an If-Range with one never holds.

Not here: the sending (results.py).
"""

import base64
import binascii
import hashlib
import re

from multidict import CIMultiDictProxy

from jobd.api.problems import RangeNotSatisfiable
from jobd.domain.errors import FieldError, JobdError, Malformed

_ENTITY_TAG = re.compile(r'(W/)?("[^"]*")')
_RANGE = re.compile(r"bytes=(?:([0-9]{1,4000})-([0-9]{0,4000})|-([0-9]{1,4000}))", re.IGNORECASE)
_DIGEST = re.compile(r"(?:^|,)[ \t]*(sha-256|sha-512)=:([^:]*):")


def refuse_unmatched(headers: CIMultiDictProxy[str], etag: str) -> None:
    """Raise JobdError (`precondition_failed`) unless If-Match is absent, `*` or names `etag`.

    Compared strongly: a weak tag, on either side, never matches.
    """
    values = headers.getall("If-Match", ())
    if not values:
        return
    value = ",".join(values)
    if value.strip() == "*" or ("", etag) in _ENTITY_TAG.findall(value):
        return
    detail = "If-Match names another version, or a weak one."
    raise JobdError("precondition_failed", detail, errors=(FieldError(detail, header="If-Match"),))


def wanted_part(headers: CIMultiDictProxy[str], etag: str, size_bytes: int) -> range | None:
    """Return which bytes are asked for; None for all of them.

    All are sent for what is no single range of bytes, and when If-Range names another
    version. Raises RangeNotSatisfiable for a range that begins behind the end.
    """
    values = headers.getall("Range", ())
    match = _RANGE.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or headers.getall("If-Range", [etag]) != [etag]:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        wanted = range(max(size_bytes - int(suffix), 0), size_bytes)
        if wanted or not int(suffix):
            return _satisfiable(wanted, size_bytes)
        return None  # the last bytes of nothing are nothing
    if last and int(last) < int(first):
        return None
    end = min(int(last) + 1, size_bytes) if last else size_bytes
    return _satisfiable(range(int(first), end), size_bytes)


def _satisfiable(wanted: range, size_bytes: int) -> range:
    if not wanted:
        raise RangeNotSatisfiable(size_bytes)
    return wanted


def check_digest(headers: CIMultiDictProxy[str], body: bytes) -> None:
    """Raise Malformed if a Content-Digest (RFC 9530) is not that of `body`.

    Algorithms that are not known are passed over.
    """
    for algorithm, stated in _DIGEST.findall(",".join(headers.getall("Content-Digest", ()))):
        digest = hashlib.new(algorithm.replace("-", ""), body, usedforsecurity=False).digest()
        try:
            agrees = base64.b64decode(stated, validate=True) == digest
        except binascii.Error:
            agrees = False
        if not agrees:
            detail = f"The {algorithm} of the body is another one."
            error = FieldError(detail, header="Content-Digest")
            raise Malformed("digest_mismatch", detail, errors=(error,))
