"""The machine's clocks, as a domain Clock.

The loop's own timers run by a clock that stands still while the machine is suspended, and
know nothing of a wall clock that is set. So a wait for a wall time is a timer of the
kernel's: timerfd_create(2), which Python has from 3.13 on.
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import time

from jobd.domain.clock import TrustedTime

_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2

WITHOUT_TIMER_S = 1.0
"""How long a wait is at most while there is no descriptor left for a timer."""


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._trusted = TrustedTime(self.wall_ms, _elapsed_ms)

    def wall_ms(self) -> int:
        """Milliseconds since the epoch; may jump, both ways."""
        return time.time_ns() // 1_000_000

    def trusted_ms(self) -> int:
        """See Clock."""
        return self._trusted.now_ms()

    def monotonic_s(self) -> float:
        """Seconds that never go back; stand still while the machine is suspended."""
        return time.monotonic()

    async def wait_until(self, wall_ms: int) -> None:
        """See Clock."""
        fired = asyncio.Event()
        try:
            timer = _timer(wall_ms)
        except OSError:
            left_s = (wall_ms - self.wall_ms()) / 1000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, WITHOUT_TIMER_S)):
                    await fired.wait()
            return
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(timer, fired.set)
            await fired.wait()
        finally:
            loop.remove_reader(timer)
            os.close(timer)


def _elapsed_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _timer(wall_ms: int) -> int:
    """Return a descriptor that is readable at that time, or once the wall clock has been set."""
    timer = _libc().timerfd_create(time.CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
    if timer < 0:
        raise _failed("timerfd_create")
    seconds, ms = divmod(max(1, wall_ms), 1000)  # 0 would be no timer at all
    when = _Itimerspec(it_value=_Timespec(seconds, ms * 1_000_000))
    flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
    if _libc().timerfd_settime(timer, flags, ctypes.byref(when), None) != 0:
        error = _failed("timerfd_settime")
        os.close(timer)
        raise error
    return int(timer)


def _failed(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
