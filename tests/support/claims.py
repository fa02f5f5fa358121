"""A claim as tests need one: what it is about is what they replace in it."""

from jobd.domain.jobs import Claim

CLAIM = Claim(
    seq=1,
    job_id="job_" + "0" * 32,
    token="t",  # noqa: S106 - a lease, and no secret
    kind="a.b",
    queue="default",
    lane="cpu",
    attempt=1,
    max_attempts=3,
    timeout_ms=60_000,
    failures=0,
    crashes=0,
    interrupted=0,
    released=0,
    snoozes=0,
    args=b"{}",
    metadata={},
    traceparent=None,
    checkpoint=None,
    claimed_at_ms=0,
)
