"""The document of a new job is the one that the renderer makes, byte by byte."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from jobd.api.codec import encode
from jobd.domain.estimates import Estimate
from jobd.domain.jobs import NewJob
from jobd.engine.commands import Accepted
from jobd.wire.created import render_created
from jobd.wire.rendering import new_retry_after_s, render_detail, retry_after_s

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

_texts = st.text(st.characters(codec="utf-8"), max_size=20)
_names = st.sampled_from(("test.any", "a-b_c", "slow"))
_moments = st.integers(0, 4_000_000_000_000)
_seconds = st.none() | st.floats(0, 1e6)


@st.composite
def new_jobs(draw: st.DrawFn) -> NewJob:
    created_at_ms = draw(_moments)
    return NewJob(
        job_id="job_019b76daa400700080000000000000aa",
        principal=draw(_texts),
        kind=draw(_names),
        queue=draw(_names),
        lane="cpu",
        priority=draw(st.integers(0, 9)),
        created_at_ms=created_at_ms,
        run_at_ms=draw(st.none() | st.integers(created_at_ms + 1, 4_100_000_000_000)),
        timeout_ms=draw(st.integers(1, 90_000_000)),
        max_attempts=draw(st.integers(1, 100)),
        retention_ms=draw(st.integers(60_000, 604_800_000)),
        args=encode(draw(st.dictionaries(_texts, _texts | st.floats(0, 9), max_size=3))),
        metadata=draw(st.dictionaries(_texts, _texts, max_size=3)),
        traceparent=draw(st.sampled_from((None, TRACE))),
        start_before_ms=draw(st.none() | _moments),
        callback_url=draw(st.none() | _texts),
        request_id=draw(st.sampled_from((None, "a-b.c_1"))),
    )


@settings(max_examples=50)
@given(
    new_jobs(),
    st.integers(0, 5000),
    st.builds(Estimate, _seconds, _seconds, _seconds),
    st.sampled_from(("slot", "run_at", "storage_full")),
)
def test_it_is_what_the_renderer_makes(
    new: NewJob, later_ms: int, estimate: Estimate, waiting_for: str
) -> None:
    now_ms = new.created_at_ms + later_ms
    job = Accepted(new, 1, 2).job
    poll_s = new_retry_after_s(new, now_ms, estimate)
    made = render_created(new, now_ms, poll_s=poll_s, estimate=estimate, waiting_for=waiting_for)
    document = render_detail(
        job, now_ms, inline_result_bytes=0, estimate=estimate, waiting_for=waiting_for
    )
    assert poll_s == retry_after_s(job, now_ms, estimate)
    assert made == encode(document)


@settings(max_examples=5)
@given(new_jobs())
def test_a_text_like_a_hole_stays_a_text(new: NewJob) -> None:
    args = b'{"a":"%(job_id)"}'
    new = msgspec.structs.replace(new, principal="%(job_id)", args=args)
    made = render_created(new, 0, poll_s=1, estimate=Estimate(), waiting_for="slot")
    document = msgspec.json.decode(made)
    assert document["args"] == {"a": "%(job_id)"}
    assert document["principal"] == "%(job_id)"
