"""Frames survive whatever pieces a stream cuts them into."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobd.pool.protocol import (
    LENGTH,
    MAX_FRAME_BYTES,
    Cancel,
    Checkpoint,
    Checkpointed,
    Down,
    FrameReader,
    Progress,
    Ready,
    Up,
    encode,
)

FRAMES = st.one_of(
    st.builds(Ready),
    st.builds(Cancel, st.text()),
    st.builds(Checkpoint, st.text(), st.integers(0, 2**31), st.binary(max_size=2000)),
    st.builds(Checkpointed, st.text(), st.integers(0, 2**31), st.booleans()),
    st.builds(Progress, st.text(), st.none() | st.floats(0, 100), message=st.none() | st.text()),
)


@given(st.lists(FRAMES, max_size=10), st.data())
def test_frames_come_out_whole_and_in_order(frames: list[Up | Down], data: st.DataObject) -> None:
    stream = b"".join(map(encode, frames))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader = FrameReader()

    bodies: list[bytes] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        bodies += reader.feed(stream[begin:end])

    assert [msgspec.msgpack.decode(body, type=Up | Down) for body in bodies] == frames


def test_a_length_over_the_limit_is_refused_before_its_body_comes() -> None:
    with pytest.raises(ValueError, match="is over"):
        FrameReader().feed(LENGTH.pack(MAX_FRAME_BYTES + 1))


def test_a_frame_over_the_limit_is_not_sent() -> None:
    with pytest.raises(ValueError, match="is over"):
        encode(Checkpoint("token", 1, bytes(MAX_FRAME_BYTES)))
