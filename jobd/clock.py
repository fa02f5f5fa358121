"""The machine's clocks, as a domain Clock."""

import asyncio
import contextlib
import time


class SystemClock:
    """The machine's own clocks."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch; may jump, both ways."""
        return time.time_ns() // 1_000_000

    def trusted_ms(self) -> int:
        """See Clock."""
        return self.wall_ms()

    def monotonic_s(self) -> float:
        """Seconds that never go back; stand still while the machine is suspended."""
        return time.monotonic()

    async def wait_until(self, wall_ms: int) -> None:
        """See Clock."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout((wall_ms - self.wall_ms()) / 1000):
                await asyncio.Event().wait()
