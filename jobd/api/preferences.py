"""Request headers that change an answer.

Prefer, Accept, If-None-Match, Idempotency-Key, traceparent. What makes no sense in them is
ignored, never an error (RFC 7240); only an Idempotency-Key is refused then, as it was
meant to protect.
"""

import functools
import re
from collections.abc import Sequence

import msgspec
from multidict import CIMultiDictProxy

from jobd.domain.errors import FieldError, JobdError, Malformed

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED}|".*)+')  # a quote that never ends takes the rest
_PART = re.compile(rf'(?:[^;"]|{_QUOTED}|".*)+')
_PAIR = re.compile(rf"\s*({_WORD})\s*(?:=\s*({_WORD}|{_QUOTED})?\s*)?")
_SECONDS = re.compile(r"[0-9]{1,4000}")  # int() refuses more than 4300 digits
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')
_IDEMPOTENCY_KEY = re.compile(r'"([ -!#-~]{1,255})"|([!#-~]{1,255})')
_MEDIA_RANGE = re.compile(rf"\s*({_WORD})/({_WORD})\s*")
_QUALITY = re.compile(r"\s*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*")
_TRACE = r"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
# a version to come may have more fields behind these four
_TRACEPARENT = re.compile(rf"(00{_TRACE})|((?!00|ff)[0-9a-f]{{2}}{_TRACE})(?:-.*)?")


class Preferences(msgspec.Struct, frozen=True):
    """How a caller would like to be answered."""

    wait_s: int | None = None
    until_done: bool = False
    respond_async: bool = False

    @property
    def applied(self) -> str | None:
        """The value of Preference-Applied; None when nothing was asked for."""
        words = ["respond-async"] if self.respond_async else []
        if self.wait_s is not None:
            words.append(f"wait={self.wait_s}")
        return ", ".join(words) or None


_NONE = Preferences()


def preferences(headers: CIMultiDictProxy[str], *, max_wait_s: int) -> Preferences:
    """Return what Prefer asks for; a wait beyond `max_wait_s` is shortened to it.

    `until=done` is taken as a parameter of `wait` and as a preference of its own.
    """
    values = headers.getall("Prefer", ())
    return _parsed(",".join(values), max_wait_s) if values else _NONE


@functools.lru_cache(maxsize=128)
def _parsed(value: str, max_wait_s: int) -> Preferences:
    found: dict[str, str] = {}
    for element in _ELEMENT.findall(value):
        for part in _PART.findall(element):
            pair = _PAIR.fullmatch(part)
            if pair is not None:
                found.setdefault(pair[1].lower(), _unquoted(pair[2] or ""))
    seconds = found.get("wait", "")
    return Preferences(
        wait_s=min(int(seconds), max_wait_s) if _SECONDS.fullmatch(seconds) else None,
        until_done=found.get("until") == "done",
        respond_async="respond-async" in found,
    )


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def chosen(headers: CIMultiDictProxy[str], offers: Sequence[str]) -> str:
    """Return which media type of `offers` Accept likes best, of equals the first.

    Raises JobdError (`not_acceptable`) when it excludes them all.
    """
    values = headers.getall("Accept", ())
    ranges = _media_ranges(",".join(values))
    best = max(offers, key=lambda offer: _quality(offer, ranges))
    if not _quality(best, ranges):
        raise JobdError("not_acceptable", f"Here is {' or '.join(offers)}.")
    return best


@functools.lru_cache(maxsize=128)
def _media_ranges(value: str) -> dict[tuple[str, str], float]:
    """Return the quality of each range; an Accept that says nothing takes anything."""
    found: dict[tuple[str, str], float] = {}
    for element in _ELEMENT.findall(value):
        media_range, *parameters = _PART.findall(element) or [""]
        match = _MEDIA_RANGE.fullmatch(media_range)
        if match is not None:
            qualities = [q[1] for q in map(_QUALITY.fullmatch, parameters) if q is not None]
            found[match[1].lower(), match[2].lower()] = float(qualities[0]) if qualities else 1.0
    return found or {("*", "*"): 1.0}


def _quality(offer: str, ranges: dict[tuple[str, str], float]) -> float:
    """Return how much an offer is liked: what the most specific range that fits it says."""
    major, minor = offer.split("/")
    fitting = ((major, minor), (major, "*"), ("*", "*"))
    return next((ranges[key] for key in fitting if key in ranges), 0.0)


def matches(headers: CIMultiDictProxy[str], etag: str) -> bool:
    """Whether If-None-Match names `etag`, compared weakly: the caller has this version."""
    if "If-None-Match" not in headers:
        return False
    value = ",".join(headers.getall("If-None-Match"))
    return value.strip() == "*" or etag.removeprefix("W/") in _ENTITY_TAG.findall(value)


def idempotency_key(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the caller's key, quoted or not; raises Malformed."""
    values = headers.getall("Idempotency-Key", ())
    if not values:
        return None
    match = _IDEMPOTENCY_KEY.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        detail = "The Idempotency-Key must be one string of 1 to 255 printable ASCII characters."
        raise Malformed(
            "invalid_idempotency_key",
            detail,
            errors=(FieldError(detail, header="Idempotency-Key"),),
        )
    return match[1] or match[2]


def traceparent(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the caller's trace context; None, as if it were absent, when it is not valid."""
    values = headers.getall("traceparent", ())
    match = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    return None if match is None else match[1] or match[2]
