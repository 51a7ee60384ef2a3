"""Values and their JSON form."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from .errors import ApiError, ApiErrorFactory

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Bytes: TypeAlias = bytes | bytearray | memoryview

#: Application data. Bytes are sent as bytes, where the method accepts them; anything else is sent
#: as JSON.
Payload: TypeAlias = None | bool | int | float | str | Bytes | Sequence[Any] | Mapping[str, Any]


class Request(Generic[R_co]):
    """A request whose result is an `R_co`."""

    __slots__ = ()


class Outcome(Generic[R_co]):
    """What became of one of several calls made together."""

    __slots__ = ("_result", "error")

    def __init__(self, result: R_co | None, error: ApiError | None) -> None:
        self._result = result
        #: Why the call failed; none if it succeeded.
        self.error = error

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.error is None

    @property
    def result(self) -> R_co:
        """The result. Raises the error of a call that failed."""
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"Outcome({self.error!r})" if self.error else f"Outcome({self._result!r})"


class FormError(Exception):
    """A value that does not have the form it must have."""


@dataclass(frozen=True)
class DecodeContext:
    """What decoding needs to know of the call."""

    api_error: ApiErrorFactory
    method: str
    retry_safe: bool


class Codec(Generic[T]):
    """Turns values into their JSON form and back."""

    def encode(self, value: T, path: str) -> Any:
        """JSON form of a value."""
        raise NotImplementedError

    def decode(self, form: Any, path: str, context: DecodeContext) -> T:
        """Value of a JSON form."""
        raise NotImplementedError

    def zero(self) -> Any:
        """What an absent field means."""
        return None


class Scalar(Codec[T]):
    """A value that is the same in JSON."""

    def __init__(self, name: str, zero: T, accepts: Callable[[object], bool]) -> None:
        self._name, self._zero, self._accepts = name, zero, accepts

    def encode(self, value: T, path: str) -> T:
        if not self._accepts(value):
            raise FormError(f"{path}: {type(value).__name__} is no {self._name}")
        return value

    def decode(self, form: Any, path: str, context: DecodeContext) -> T:
        return self.encode(form, path)

    def zero(self) -> T:
        return self._zero


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


BOOL = Scalar[bool]("bool", False, lambda value: isinstance(value, bool))
TEXT = Scalar[str]("str", "", lambda value: isinstance(value, str))
INT = Scalar[int]("int", 0, _is_int)
FLOAT = Scalar[float](
    "finite number",
    0.0,
    lambda value: _is_int(value) or (isinstance(value, float) and math.isfinite(value)),
)


class _BytesCodec(Codec[bytes]):
    """Bytes as base64."""

    def encode(self, value: bytes, path: str) -> str:
        return _base64(value)

    def decode(self, form: Any, path: str, context: DecodeContext) -> bytes:
        return _from_base64(TEXT.decode(form, path, context), path)

    def zero(self) -> bytes:
        return b""


BYTES = _BytesCodec()


class _PayloadCodec(Codec[Any]):
    """Any JSON value. Bytes are refused: this place has no form for them."""

    def encode(self, value: Any, path: str) -> Any:
        if isinstance(value, Bytes):
            raise FormError(f"{path}: bytes cannot be sent here, only JSON")
        return value

    def decode(self, form: Any, path: str, context: DecodeContext) -> Any:
        return form


PAYLOAD = _PayloadCodec()


class List(Codec[Sequence[T]]):
    """Values in a row."""

    def __init__(self, element: Codec[T]) -> None:
        self._element = element

    def encode(self, value: Sequence[T], path: str) -> list[Any]:
        if isinstance(value, (str, Bytes)) or not isinstance(value, Sequence):
            raise FormError(f"{path}: {type(value).__name__} is no list")
        return [self._element.encode(item, f"{path}[{at}]") for at, item in enumerate(value)]

    def decode(self, form: Any, path: str, context: DecodeContext) -> list[T]:
        items = expect_list(form, path)
        return [self._element.decode(item, f"{path}[{at}]", context) for at, item in enumerate(items)]

    def zero(self) -> list[T]:
        return []


class Map(Codec[Mapping[str, T]]):
    """Values by key."""

    def __init__(self, element: Codec[T]) -> None:
        self._element = element

    def encode(self, value: Mapping[str, T], path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise FormError(f"{path}: {type(value).__name__} is no mapping")
        return {
            TEXT.encode(key, path): self._element.encode(item, f"{path}.{key}") for key, item in value.items()
        }

    def decode(self, form: Any, path: str, context: DecodeContext) -> dict[str, T]:
        items = expect_object(form, path).items()
        return {key: self._element.decode(item, f"{path}.{key}", context) for key, item in items}

    def zero(self) -> dict[str, T]:
        return {}


class Boxed(Codec["T | None"], Generic[T]):
    """A scalar that can be absent, in an object of its own."""

    def __init__(self, element: Codec[T]) -> None:
        self._element = element

    def encode(self, value: T | None, path: str) -> dict[str, Any]:
        return {"value": self._element.encode(value, path)}  # type: ignore[arg-type]

    def decode(self, form: Any, path: str, context: DecodeContext) -> T | None:
        fields = expect_object(form, path)
        if "value" not in fields:
            zero: T = self._element.zero()
            return zero
        return self._element.decode(fields["value"], f"{path}.value", context)


class OutcomeCodec(Codec[Outcome[R]]):
    """An error or a result."""

    def __init__(self, result: Codec[R]) -> None:
        self._result = result

    def encode(self, value: Outcome[R], path: str) -> Any:
        raise FormError(f"{path}: outcomes are not sent")

    def decode(self, form: Any, path: str, context: DecodeContext) -> Outcome[R]:
        fields = expect_object(form, path)
        if fields.get("error") is not None:
            return Outcome(None, decode_error(fields["error"], f"{path}.error", context))
        result = fields.get("result")
        return Outcome(self._result.decode({} if result is None else result, path, context), None)


@dataclass(frozen=True)
class Field:
    """How one field of a record is carried."""

    name: str
    """Attribute."""
    wire: str
    """Key in JSON."""
    codec: Codec[Any]
    required: bool = False
    base64: str | None = None
    """Key for bytes as base64, instead of `wire`."""


class Record(Codec[T]):
    """A message. Takes its fields when first used, as messages may contain themselves."""

    def __init__(self, kind: type[T], fields: Callable[[], Sequence[Field]]) -> None:
        self._kind, self._fields = kind, fields

    def encode(self, value: T, path: str) -> dict[str, Any]:
        if not isinstance(value, self._kind):
            raise FormError(f"{path}: {type(value).__name__} is no {self._kind.__name__}")
        form: dict[str, Any] = {}
        for field in self._fields():
            item = getattr(value, field.name)
            if item is None and not (field.required and field.codec is PAYLOAD):
                continue
            if field.base64 is not None and isinstance(item, Bytes):
                form[field.base64] = _base64(item)
                continue
            zero = field.codec.zero()
            # An empty list is a zero whatever its type.
            if zero is None or not (item == zero or (zero == [] and not item)):
                form[field.wire] = field.codec.encode(item, f"{path}.{field.name}")
        return form

    def decode(self, form: Any, path: str, context: DecodeContext) -> T:
        source = expect_object(form, path)
        values: dict[str, Any] = {}
        for field in self._fields():
            encoded = source.get(field.base64) if field.base64 else None
            item = source.get(field.wire)
            if encoded:
                values[field.name] = BYTES.decode(encoded, f"{path}.{field.base64}", context)
            elif item is None:
                values[field.name] = field.codec.zero()
            else:
                values[field.name] = field.codec.decode(item, f"{path}.{field.wire}", context)
        return self._kind(**values)


def decode_error(form: Any, path: str, context: DecodeContext) -> ApiError:
    """The error of a call or of a part of it."""
    fields = expect_object(form, path)
    code = INT.decode(fields.get("code", 0), f"{path}.code", context)
    message = TEXT.decode(fields.get("message", ""), f"{path}.message", context)
    return context.api_error(code, message, context.method, retry_safe=context.retry_safe)


def dump(form: Any) -> bytes:
    """JSON text."""
    try:
        text = json.dumps(form, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise FormError(str(error)) from error


def parse(body: bytes) -> Any:
    """Value of a JSON text."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FormError("the response is not JSON") from error


def expect_object(form: Any, path: str) -> dict[str, Any]:
    """The form, if it is an object."""
    if not isinstance(form, dict):
        raise FormError(f"{path}: {type(form).__name__} is no object")
    return form


def expect_list(form: Any, path: str) -> list[Any]:
    """The form, if it is a list."""
    if not isinstance(form, list):
        raise FormError(f"{path}: {type(form).__name__} is no list")
    return form


def _base64(value: Bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _from_base64(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise FormError(f"{path}: not base64") from error
