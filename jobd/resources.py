"""Files that jobd ships besides its code: `config/` and `systemd/`.

The wheel carries them as `jobd/_data`; an editable install has them beside the package.
"""

from pathlib import Path


def path(name: str) -> Path:
    """Return where the shipped file `name` (such as `config/jobd.toml`) is.

    Raises FileNotFoundError when this installation does not have it.
    """
    package = Path(__file__).resolve().parent
    for root in (package / "_data", package.parent):
        found = root / name
        if found.is_file():
            return found
    raise FileNotFoundError(f"{name} is missing from this installation of jobd-server")
