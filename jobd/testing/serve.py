"""`jobd serve` with a clock that its parent moves, by lines on its stdin.

`+60` lets a minute pass, `=1767225600` lets it be that time, if it is ahead. Each is answered
by a line on stdout, once the clock has moved. Not here: the parent (daemon.py).
"""

import os
import sys
import threading
from pathlib import Path

from jobd import config
from jobd.daemon import serve
from jobd.testing.clock import VirtualClock


def main(arguments: list[str]) -> int:
    """Serve with the settings of `--config FILE`; return the exit status."""
    _flag, path = arguments
    settings = config.load(Path(path), os.environ, {})
    clock = VirtualClock()
    threading.Thread(target=_listen, args=(clock,), daemon=True).start()
    return serve(settings, os.environ, clock)


def _listen(clock: VirtualClock) -> None:
    for line in sys.stdin:
        number = float(line[1:])
        clock.advance(number if line[0] == "+" else max(0.0, number - clock.wall_ms() / 1000))
        sys.stdout.write("moved\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
