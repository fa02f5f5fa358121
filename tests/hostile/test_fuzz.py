"""Two thousand requests that are nearly right; `run.py` sends more."""

from tests.hostile.fuzz import MAY_GROW_BYTES, Fuzz
from tests.hostile.house import House

SEED = 20261122


def test_broken_requests_break_nothing(house: House) -> None:
    fuzz = Fuzz(house, SEED)

    fuzz.run(2000)

    grown_bytes, more_descriptors = fuzz.grown()
    assert grown_bytes < MAY_GROW_BYTES
    assert more_descriptors <= 0
    assert len(fuzz.seen) > 5, fuzz.seen
