"""`import.csv`, killed with SIGKILL once, at a chosen gap between its commits."""

import os
import signal
from pathlib import Path
from typing import Any, Literal

from jobd.sdk import Backoff, Context, handler
from jobd_import.args import CsvArgs
from jobd_import.handlers import import_csv


class KilledArgs(CsvArgs, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Those of `import.csv`, and who dies where; `once` is the file that says it has happened."""

    victim: Literal["worker", "daemon"]
    gap: int
    once: str


class Deadly:
    """The job's context, which kills before or after a checkpoint: between two commits.

    The target commits a batch, then the checkpoint follows. So the gaps are: before the
    first commit (0), after a commit and before its checkpoint (odd), after that (even).
    """

    def __init__(self, ctx: Context, args: KilledArgs) -> None:
        self._ctx = ctx
        self._args = args
        self._gap = -1
        self.passed()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    def checkpoint(self, data: Any) -> None:
        self.passed()
        self._ctx.checkpoint(data)
        self.passed()

    def passed(self) -> None:
        self._gap += 1
        once = Path(self._args.once)
        if self._gap != self._args.gap or once.exists():
            return
        once.touch()
        if self._args.victim == "worker":
            os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()  # until the kernel kills this worker, its daemon being dead


@handler(args=KilledArgs, max_attempts=3, backoff=Backoff(base_s=0.01, cap_s=0.01))
def killed_import(ctx: Context, args: KilledArgs) -> Any:
    """Import as `import.csv` does, but for the kill."""
    return import_csv(Deadly(ctx, args), args)  # type: ignore[arg-type]  # acts as a Context
