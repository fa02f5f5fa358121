"""Reading back what was just written, for the answer to whoever asked for it.

Not here: what is read (store/readers.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from jobd.domain.errors import OutcomeUnknown, Unavailable


@contextmanager
def reading_back() -> Iterator[None]:
    """Have a read behind a commit that is refused raise OutcomeUnknown.

    Unavailable would say that nothing was written.
    """
    try:
        yield
    except Unavailable as error:
        detail = "It is written, and cannot be read back now; ask what has become of it."
        raise OutcomeUnknown("outcome_unknown", detail, retryable=True) from error
