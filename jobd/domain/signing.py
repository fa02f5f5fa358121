"""Standard Webhooks 1.0, symmetric (`v1`): secrets, signatures, and how a receiver checks them.

Signed are exactly the bytes sent: `{webhook-id}.{webhook-timestamp}.{body}`. A header may
hold several signatures, so that a secret can be rotated while receivers know either one.

Not here: where secrets are kept (store/deliveries.py), what is sent (webhooks/sender.py).
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

TOLERANCE_S = 300
"""How far a message's clock may be from the receiver's, both ways."""

_SECRET_BYTES = 32
_SHORTEST_SECRET_BYTES = 16  # the standard says 24; some senders' are shorter
_LONGEST_SECRET_BYTES = 64
_VERSION = "v1,"
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class NotGenuine(Exception):  # noqa: N818 - named for what was found
    """The message was not signed with this secret, or not now; the text says what is wrong."""


def new_secret() -> str:
    """Return a fresh secret: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(os.urandom(_SECRET_BYTES)).decode()


def sign(secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the `webhook-signature` header: one signature a secret, one space between.

    Raises ValueError for a secret of the wrong form.
    """
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join(_VERSION + _mac(secret, signed) for secret in secrets)


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    now_s: float,
    *,
    tolerance_s: float = TOLERANCE_S,
) -> None:
    """Return if the request is genuine and recent; else raise NotGenuine.

    The caller has still to ignore a `webhook-id` that it has seen before. Raises
    ValueError for a secret of the wrong form.
    """
    by_name = {name.lower(): value for name, value in headers.items()}
    for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER):
        if not by_name.get(name):
            raise NotGenuine(f"the header {name} is missing")
    timestamp = by_name[TIMESTAMP_HEADER]
    if not _TIMESTAMP.fullmatch(timestamp):
        raise NotGenuine(f"the header {TIMESTAMP_HEADER} is not a time")
    if abs(now_s - int(timestamp)) > tolerance_s:
        raise NotGenuine(f"it was sent more than {tolerance_s:.0f} s away from now")
    expected = sign([secret], by_name[ID_HEADER], int(timestamp), body).encode()
    given = by_name[SIGNATURE_HEADER].encode("utf-8", "replace").split(b" ")
    if True not in [hmac.compare_digest(expected, one) for one in given]:
        raise NotGenuine("no signature matches")


def _mac(secret: str, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key_of(secret), signed, hashlib.sha256)).decode()


def key_of(secret: str) -> bytes:
    """Return the bytes that a secret stands for; raises ValueError for one of the wrong form."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"a webhook secret is {PREFIX} and base64") from error
    if not _SHORTEST_SECRET_BYTES <= len(key) <= _LONGEST_SECRET_BYTES:
        raise ValueError(
            f"a webhook secret has {_SHORTEST_SECRET_BYTES} to {_LONGEST_SECRET_BYTES} bytes"
        )
    return key
