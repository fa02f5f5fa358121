"""Schemas of the Structs of wire/: what msgspec says of them, and what it cannot know.

Every field of an answer is there, always; the text below a field is its description.
Not here: forms and examples of single fields (fields.py).
"""

import ast
import functools
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import msgspec

from jobd.api.openapi.fields import BODIES, FIELDS, MOMENT

Schema = dict[str, Any]
_Struct = type[msgspec.Struct]

_REF = "#/components/schemas/"


def ref(struct: _Struct) -> Schema:
    """Return the reference to a Struct's schema."""
    return {"$ref": f"{_REF}{struct.__name__}"}


def components(structs: Iterable[_Struct]) -> dict[str, Schema]:
    """Return the schemas of Structs and of all that they hold, by name."""
    wanted = list(structs)
    _, found = msgspec.json.schema_components(wanted, ref_template=f"{_REF}{{name}}")
    for struct in _all(wanted):
        _complete(found[struct.__name__], struct)
    return dict(sorted(found.items()))


def _all(structs: list[_Struct]) -> set[_Struct]:
    """Return the Structs and those inside them."""
    found: set[_Struct] = set()

    def walk(info: Any) -> None:
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in found:
                return
            found.add(info.cls)
            for field in info.fields:
                walk(field.type)
            return
        inside = [getattr(info, name, ()) for name in _INSIDE]
        for one in inside:
            for inner in one if isinstance(one, tuple) else (one,):
                walk(inner)

    for info in msgspec.inspect.multi_type_info(structs):
        walk(info)
    return found


_INSIDE = ("type", "types", "item_type", "item_types", "key_type", "value_type")


def _complete(schema: Schema, struct: _Struct) -> None:
    """Add what is known of a Struct beyond its types."""
    schema.pop("title", None)
    config = struct.__struct_config__
    said = _said_of_fields(struct)
    for field in msgspec.structs.fields(struct):
        name = field.encode_name
        known = schema["properties"][name]
        if not config.forbid_unknown_fields:
            known.pop("default", None)
        if field.name in said:
            known["description"] = said[field.name]
        _overlay(known, _beyond(struct, name))
    if not (config.forbid_unknown_fields or config.omit_defaults):
        schema["required"] = [
            field.encode_name
            for field in msgspec.structs.fields(struct)
            if field.default is not msgspec.UNSET
        ]


def _beyond(struct: _Struct, name: str) -> Schema:
    for base in struct.__mro__:
        if f"{base.__name__}.{name}" in FIELDS:
            return FIELDS[f"{base.__name__}.{name}"]
    return FIELDS.get(name, {})


def _overlay(known: Schema, more: Schema) -> None:
    """Add to a field's schema; what bounds a value goes to the branch that is not null."""
    branches = [branch for branch in known.get("anyOf", ()) if branch != {"type": "null"}]
    bounded = branches[0] if branches else known
    for key, value in more.items():
        (known if key == "examples" else bounded)[key] = value


def _said_of_fields(struct: _Struct) -> dict[str, str]:
    """Return the text below each field, the Struct's own and those that it inherits."""
    said: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        if base.__module__.startswith("jobd."):
            said.update(_texts(sys.modules[base.__module__]).get(base.__name__, {}))
    return said


@functools.cache
def _texts(module: ModuleType) -> dict[str, dict[str, str]]:
    classes = ast.parse(inspect.getsource(module)).body
    return {one.name: dict(_below(one)) for one in classes if isinstance(one, ast.ClassDef)}


def _below(class_: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(class_.body, class_.body[1:], strict=False):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(said))),
            ):
                yield name, inspect.cleandoc(said).replace("\n", " ")


def example_of(schema: Schema, known: dict[str, Schema]) -> Any:
    """Return a document that fits `schema`, put together of its fields' examples."""
    match schema:
        case {"$ref": str(reference)}:
            name = reference.removeprefix(_REF)
            return BODIES[name] if name in BODIES else example_of(known[name], known)
        case {"examples": [example, *_]} | {"enum": [example, *_]}:
            return example
        case {"anyOf": [*branches]}:
            nullable = {"type": "null"} in branches
            return None if nullable else example_of(branches[0], known)
        case {"type": "object", "properties": dict(fields)}:
            names: list[str] = schema.get("required", [*fields])
            return {name: example_of(fields[name], known) for name in names}
        case {"type": "array", "items": items}:
            return [example_of(items, known)]
    return MOMENT if schema.get("format") == "date-time" else _PLAIN[schema.get("type", "null")]


_PLAIN: dict[str, Any] = {
    "object": {},
    "array": [],
    "string": "text",
    "integer": 0,
    "number": 0.0,
    "boolean": False,
    "null": None,
}
