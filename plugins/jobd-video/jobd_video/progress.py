"""What ffmpeg says of itself while it works, as the job's progress.

Invariant: progress never goes back, also where ffmpeg's own does (at the end, and where the
time stamps of a video jump).
"""

from jobd.sdk import Context

OPTIONS = ("-nostdin", "-nostats", "-progress", "pipe:1", "-stats_period", "0.5")
"""Have it say so twice a second, and read nothing from a terminal."""

_MICROSECONDS = 1_000_000


class Progress:
    """Takes the lines of one run; pass `heard` as `on_line`."""

    def __init__(self, ctx: Context, total_s: float | None) -> None:
        self._ctx = ctx
        self._total_s = total_s
        self._done_s = 0.0
        self._said: dict[str, str] = {}

    def heard(self, stream: str, line: str) -> bool:
        """Take a line; its errors go to the job's log."""
        if stream != "stdout":
            return False
        name, _, value = line.partition("=")
        self._said[name] = value.strip()
        if name == "progress":
            self._show()
        return True

    def _show(self) -> None:
        self._done_s = max(self._done_s, self._number("out_time_us") / _MICROSECONDS)
        done_ms = round(self._done_s * 1000)
        speed = self._number("speed")
        at_speed = f", {speed:.3g}x" if speed > 0 else ""
        if self._total_s is None:
            self._ctx.progress(done=done_ms, message=f"{self._done_s:.1f} s{at_speed}")
            return
        left_s = max(self._total_s - self._done_s, 0.0)
        left = f", {_clock(left_s / speed)} left" if speed > 0 else ""
        total_ms = round(self._total_s * 1000)
        message = f"{self._done_s:.1f} of {self._total_s:.1f} s{at_speed}{left}"
        self._ctx.progress(done=min(done_ms, total_ms), total=total_ms, message=message)

    def _number(self, name: str) -> float:
        try:
            return float(self._said.get(name, "").removesuffix("x"))
        except ValueError:  # "N/A"
            return 0.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
