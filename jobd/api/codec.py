"""Bodies: read within limits, decoded strictly; answers encoded by one encoder.

What cannot be parsed is 400, what was parsed and breaks the schema is 422 with an entry
for each field. Not here: the args' own schema (engine/kinds.py).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, TypeVar

import msgspec
import msgspec.inspect
from aiohttp import HttpVersion11, web

from jobd.api import json_rules
from jobd.domain.errors import FieldError, Invalid, Malformed, TooLarge, pointer

T = TypeVar("T", bound=msgspec.Struct)

encode = msgspec.json.Encoder().encode

MAX_ERRORS = 50

_ONLY_JSON = "application/json"
_INTEGRAL_BELOW = 2.0**53
_JSON = re.compile(r'application/json\s*(;\s*charset="?utf-8"?\s*)?', re.IGNORECASE)
_MESSAGE = re.compile(r"(?P<detail>.*?)(?: - at .*`(?P<path>\$[^`]*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


class NotTaken(Malformed):
    """The body is of a type or an encoding that the route does not take; `accept`: what it does."""

    def __init__(self, detail: str, accept: str) -> None:
        super().__init__("unsupported_media_type", detail)
        self.accept = accept


async def read_json(request: web.Request, *, limit_bytes: int, timeout_s: float) -> bytes:
    """Return the body of a request that says it is JSON.

    Everything that can be refused by the headers is refused before the body is read, and
    before a client that asked `Expect: 100-continue` is told to send it. Raises Malformed
    (also for a body that does not arrive in time) or TooLarge.
    """
    headers = request.headers
    content_type = headers.get("Content-Type", "")
    if content_type != "application/json" and _JSON.fullmatch(content_type) is None:
        raise NotTaken("The Content-Type must be application/json.", _ONLY_JSON)
    await _ask_for_body(request, _too_large, limit_bytes, _ONLY_JSON)
    try:
        if request.content.is_eof():  # it is here: neither a timer nor a task switch is needed
            body = request.content.read_nowait()
            if len(body) > limit_bytes:
                raise _too_large(limit_bytes)
            return body
        async with asyncio.timeout(timeout_s):
            return await request.read()
    except TimeoutError:
        raise _late(f"The body did not arrive within {timeout_s:g} s.") from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(limit_bytes) from None
    except web.RequestPayloadError as error:
        raise _unreadable(error) from None


async def read_pieces(
    request: web.Request,
    too_large: Callable[[int], TooLarge],
    *,
    limit_bytes: int,
    stall_timeout_s: float,
    accept: str = "*/*",
) -> AsyncIterator[bytes]:
    """Yield a body as it arrives, for as long as some of it arrives in time.

    Its type is up to the caller; `accept` is told to a client whose encoding is not taken.
    Refuses what it can before the body is sent, as `read_json`; that it does not become
    more than `limit_bytes` is up to the caller. Raises Malformed or what `too_large` makes.
    """
    await _ask_for_body(request, too_large, limit_bytes, accept)
    try:
        while True:
            async with asyncio.timeout(stall_timeout_s):
                piece = await request.content.readany()
            if not piece:
                return
            yield piece
    except TimeoutError:
        raise _late(f"Nothing arrived for {stall_timeout_s:g} s.") from None
    except web.RequestPayloadError as error:
        raise _unreadable(error) from None


async def _ask_for_body(
    request: web.Request, too_large: Callable[[int], TooLarge], limit_bytes: int, accept: str
) -> None:
    """Refuse what the headers give reason to; tell a client that waits for it to send the body."""
    headers = request.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise NotTaken("No Content-Encoding is taken.", accept)
    if headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
        raise NotTaken("No Transfer-Encoding but chunked is taken.", accept)
    if (request.content_length or 0) > limit_bytes:
        raise too_large(limit_bytes)
    if headers.get("Expect", "").lower() == "100-continue" and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


def _late(detail: str) -> Malformed:
    return Malformed("body_timeout", detail, retryable=True)


def _unreadable(error: Exception) -> Malformed:
    return Malformed("malformed_body", f"The body could not be read: {error}.")


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge("body_too_large", f"A body may have {limit_bytes} bytes at most.")


class Decoder(Generic[T]):
    """Decodes bodies as one Struct: at full speed when they fit, with care when not."""

    def __init__(self, struct: type[T]) -> None:
        self._struct = struct
        self._fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        self._decode = msgspec.json.Decoder(struct).decode
        self._says_all = struct.__struct_config__.omit_defaults
        types = {name: field.type for name, field in self._fields.items()}
        self._free = [name for name, type_ in types.items() if type_ == dict[str, Any]]
        self._moments = [name for name, type_ in types.items() if _is_moment(type_)]

    def decode(self, body: bytes) -> T:
        """Return the document; raises Malformed, or Invalid with every field that is wrong.

        3.0 is taken for an integer, as JSON Schema has it.
        """
        try:
            asked = self._decode(body)
        except msgspec.ValidationError as error:
            return self._decode_with_care(body, error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(error) from None
        if not self._is_plain(body, asked):
            self._look_closely(body, asked)
        return asked

    def _is_plain(self, body: bytes, asked: T) -> bool:
        for name in self._moments:
            if getattr(asked, name) is not None:
                return False  # written anew it may have one colon more
        return self._says_all and json_rules.is_plain(body, asked)

    def _look_closely(self, body: bytes, asked: T) -> None:
        for name in self._free:
            # the body is one level and the field another
            json_rules.check_depth(getattr(asked, name), json_rules.MAX_DEPTH - 1)
        json_rules.check_keys(body)
        names = msgspec.structs.asdict(asked)
        for name in self._free:
            json_rules.check_integers(body, names.pop(name), name)
        json_rules.check_names(body, names)

    def _decode_with_care(self, body: bytes, first: msgspec.ValidationError) -> T:
        try:
            document = msgspec.json.decode(body)
        except msgspec.ValidationError:  # a number out of range, wherever it stands
            raise _invalid([_field_error(first)]) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(error) from None
        if not isinstance(document, dict):
            raise _invalid([FieldError("Expected an object", pointer="#")])
        json_rules.check_depth(document)
        json_rules.check_keys(body)
        errors = [error for name in document for error in self._check(document, name)]
        errors += [
            FieldError("The field is required", pointer=pointer([name]))
            for name, field in self._fields.items()
            if field.required and name not in document
        ]
        if errors:
            raise _invalid(errors)
        asked = msgspec.convert(document, self._struct)
        self._look_closely(body, asked)
        return asked

    def _check(self, document: dict[str, Any], name: str) -> Iterator[FieldError]:
        """Yield what is wrong with one field; a whole float for an integer is made one."""
        field = self._fields.get(name)
        if field is None:
            yield FieldError("There is no such field", pointer=pointer([name]))
            return
        value = document[name]
        try:
            try:
                msgspec.convert(value, field.type)
            except msgspec.ValidationError:
                if not (isinstance(value, float) and value.is_integer()):
                    raise
                if abs(value) >= _INTEGRAL_BELOW:
                    raise
                document[name] = int(value)
                msgspec.convert(document[name], field.type)
        except msgspec.ValidationError as error:
            yield _field_error(error, name)


def _is_moment(type_: Any) -> bool:
    """Whether a field may hold a timestamp."""
    found = msgspec.inspect.type_info(type_)
    types = found.types if isinstance(found, msgspec.inspect.UnionType) else (found,)
    return any(isinstance(one, msgspec.inspect.DateTimeType) for one in types)


def _malformed(error: Exception) -> Malformed:
    detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return Malformed("malformed_json", f"The body is not JSON: {detail}.")


def _invalid(errors: list[FieldError]) -> Invalid:
    return Invalid(
        "validation_error",
        "The body does not fit the schema of this request.",
        errors=tuple(errors[:MAX_ERRORS]),
    )


def _field_error(error: msgspec.ValidationError, *parents: str) -> FieldError:
    """Return msgspec's message without its path, and the path as a pointer.

    The path ends at a free key (`[...]`): msgspec does not say which one.
    """
    match = _MESSAGE.fullmatch(str(error))
    detail, path = (match["detail"], match["path"] or "") if match else (str(error), "")
    steps = [name or index for name, index in _STEP.findall(path.split("[...]")[0])]
    return FieldError(detail, pointer=pointer([*parents, *steps]))
