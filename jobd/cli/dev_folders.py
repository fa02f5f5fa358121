"""Prints, one a line, the folders that the installed plugins' code is in. Imports no plugin.

A program of its own (`python -P -m jobd.cli.dev_folders`): a plugin that was installed after
`jobd dev` began may be found by a new process alone.
"""

import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from jobd.pool.plugins import installed


def folders() -> Iterator[Path]:
    """Yield where the plugins' packages are, and where one that is installed will be named."""
    modules = {
        claimant.target.partition(":")[0].partition(".")[0]
        for claimants in installed().values()
        for claimant in claimants
    }
    for module in sorted(modules):
        spec = importlib.util.find_spec(module)
        if spec is None:
            continue
        if spec.submodule_search_locations:
            yield from map(Path, spec.submodule_search_locations)
        elif spec.origin:
            yield Path(spec.origin).parent


def main() -> None:
    """Print them; the first is where packages are installed."""
    for folder in (Path(sysconfig.get_path("purelib")), *folders()):
        sys.stdout.write(f"{folder}\n")


if __name__ == "__main__":
    main()
