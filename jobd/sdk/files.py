"""The uploads that a job's args name, each as `{"$file": "file_<64 hex digits>"}`.

Not here: who may name which (the daemon refused what a job may not name at its submit).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

KEY = "$file"

_IN_JSON = b'"$file"'
_FILE_ID = re.compile(r"file_([0-9a-f]{64})")


def named_files(args_json: bytes) -> set[str]:
    """Return the ids that the args name."""
    if not names_any(args_json):
        return set()
    return set(_named(msgspec.json.decode(args_json)))


def names_any(args_json: bytes) -> bool:
    """Whether the args may name one: most name none, and need no walk."""
    return _IN_JSON in args_json


def uploaded(args_json: bytes, uploads_dir: Path) -> dict[str, Path]:
    """Return where the files lie that the args name, by id."""
    found = {file_id: _FILE_ID.fullmatch(file_id) for file_id in named_files(args_json)}
    return {
        file_id: uploads_dir / match[1][:2] / match[1] for file_id, match in found.items() if match
    }


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(file_id := value.get(KEY), str):
            yield file_id
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
