"""What the daemon asks of the collector of cycles: memory of what has died late comes back soon."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from jobd.daemon import run


class Ring:
    """An object that only the collector can free, as a worker that is gone is one."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Set the collector up as the daemon does, and back."""
    before = gc.get_threshold()
    run._spare_the_collector()  # noqa: SLF001 - the rest of the daemon is not wanted
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def young_pass() -> None:
    """Make as many objects as let the collector look once."""
    passes = gc.get_stats()[0]["collections"]
    made: list[list[int]] = []
    while gc.get_stats()[0]["collections"] == passes:
        made += ([] for _ in range(1000))


def test_what_outlives_a_look_is_collected_a_few_looks_after_its_death() -> None:
    ring = Ring()
    seen = weakref.ref(ring)
    young_pass()
    del ring

    for _ in range(4):
        young_pass()

    assert seen() is None
