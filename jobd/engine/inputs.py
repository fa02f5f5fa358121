"""The uploads that a job's args name: every `{"$file": "file_<64 hex>"}` in them.

`$file` is a reserved key: an object that has it is a reference or an error, so that a
misspelt one is refused at submit and not found out at run.

Not here: whose the uploads are (the store looks, in the submission's transaction), what a
handler makes of a reference (sdk/).
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from jobd.domain.errors import FieldError, Invalid, pointer
from jobd.domain.ids import FILE_ID
from jobd.engine.kinds import MAX_DEPTH, MAX_ERRORS
from jobd.files.layout import Layout
from jobd.files.uploads import path_of

KEY = "$file"

_IN_JSON = b'"$file"'

_Path = tuple[str | int, ...]


def named_files(args: dict[str, Any], encoded: bytes) -> tuple[str, ...]:
    """Return the ids of the uploads that `args` name, each once; `encoded` is their JSON.

    Raises Invalid with one error for each object that has the key and is no reference (at
    most MAX_ERRORS), or if the args are nested deeper than MAX_DEPTH.
    """
    if not names_files(encoded):  # most args name none, and need no walk
        return ()
    found: dict[str, None] = {}
    errors: list[FieldError] = []
    for path, reference in _references(args, ("args",)):
        file_id = reference[KEY]
        if len(reference) == 1 and isinstance(file_id, str) and FILE_ID.fullmatch(file_id):
            found[file_id] = None
        else:
            errors.append(_malformed(path))
    if errors:
        raise _invalid("The args name a file in a form that is not known.", *errors[:MAX_ERRORS])
    return tuple(found)


def names_files(encoded: bytes) -> bool:
    """Return whether args may name files, given their JSON; False is certain."""
    return encoded.find(_IN_JSON) >= 0  # at half the cost of `in`


def missing_file(layout: Layout, encoded: bytes) -> str | None:
    """Return the first upload that checked args name and that is not on disk. Blocks."""
    for file_id in named_files(msgspec.json.decode(encoded), encoded):
        try:
            path_of(layout, file_id).stat()
        except FileNotFoundError:
            return file_id
        except OSError:  # it is there; the worker that opens it says what is wrong with it
            continue
    return None


def _references(value: Any, path: _Path) -> Iterator[tuple[_Path, dict[str, Any]]]:
    if len(path) > MAX_DEPTH:
        detail = f"nested deeper than {MAX_DEPTH} levels"
        raise _invalid(f"The args are {detail}.", FieldError(detail, pointer="#/args"))
    if isinstance(value, dict):
        if KEY in value:
            yield path, value
            return
        for name, item in value.items():
            yield from _references(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, (*path, index))


def _malformed(path: _Path) -> FieldError:
    detail = f'Expected {{"{KEY}": "file_<64 hex digits>"}} and nothing beside it'
    return FieldError(detail, pointer=pointer(path))


def _invalid(detail: str, *errors: FieldError) -> Invalid:
    return Invalid("validation_error", detail, errors=errors)
