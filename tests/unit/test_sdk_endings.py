"""What a handler raises or returns refuses values that cannot be."""

import pytest

from jobd.sdk import Discard, Partial, Retry, Snooze


def test_partial_counts_must_add_up() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Partial(None, total=1, succeeded=1, failed=1)


@pytest.mark.parametrize("wrong", ["Bad", "x", "bad\n", "", "a" * 64])
def test_an_error_code_is_a_stable_word(wrong: str) -> None:
    with pytest.raises(ValueError, match="error code"):
        Discard(code=wrong)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_wait_is_a_number_of_seconds(wrong: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Snooze(wrong)
    with pytest.raises(ValueError, match="seconds"):
        Retry(wrong)
