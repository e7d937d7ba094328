"""Frozen dataclasses to and from plain data (JSON, TOML), strictly: a stray or misspelt key is an error.

One decoder serves recipes, board files and manifests, so that all three complain in the same words.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union

T = TypeVar("T")


class RecordError(ValueError):
    """The data do not fit the record; the message names the key and the mend."""


def encode(value: Any) -> Any:
    """Plain data for a record: optional fields that are None or empty are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {
            field.name: encode(item)
            for field, item in pairs
            if _required(field) or item not in (None, (), {}, "")
        }
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def decode(record: type[T], data: Any, where: str = "") -> T:
    """Read a record of type ``record`` from plain data.

    Args:
        record: a dataclass.
        data: what a JSON or TOML reader gave.
        where: the key that leads here, for messages.

    Raises:
        RecordError: an unknown key (with the nearest known one), a missing key, or a wrong type.
    """
    if not isinstance(data, Mapping):
        raise RecordError(f"{repr(where) if where else record.__name__} must be a table, not {_kind(data)}")
    hints = typing.get_type_hints(record)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, record)) if field.init}
    for key in data:
        if key not in fields:
            place = f" in [{where}]" if where else ""
            hint = near(str(key), fields) or (
                f"; known keys are {', '.join(fields)}" if fields else "; it takes none"
            )
            raise RecordError(f"unknown key {str(key)[:80]!r}{place}{hint}")
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], _join(where, name))
        elif _required(field):
            raise RecordError(f"the key {_join(where, name)!r} is missing")
    try:
        return record(**values)
    except ValueError as error:  # a record that checks its own values
        raise RecordError(f"{where}: {error}" if where else str(error)) from None


def near(name: str, known: typing.Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` when a known name is close, else an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if hint is Any:
        return data
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, data, where)
    if origin is Literal:
        if not isinstance(data, str) or data not in arguments:
            text = ", ".join(repr(choice) for choice in arguments)
            raise RecordError(f"{where!r} must be one of {text}, not {repr(data)[:80]}")
        return data
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):  # a class, never an instance
        return decode(hint, data, where)
    if origin is tuple:
        return _convert_tuple(arguments, data, where)
    if origin in (dict, Mapping):
        if not isinstance(data, Mapping):
            raise RecordError(f"{where!r} must be a table, not {_kind(data)}")
        return {str(key): _convert(arguments[1], item, _join(where, str(key))) for key, item in data.items()}
    return _convert_scalar(hint, data, where)


def _convert_union(choices: Sequence[Any], data: Any, where: str) -> Any:
    if data is None and type(None) in choices:
        return None
    rest = [choice for choice in choices if choice is not type(None)]
    if len(rest) == 1:
        return _convert(rest[0], data, where)
    tagged = {
        typing.get_type_hints(choice).get("kind"): choice
        for choice in rest
        if dataclasses.is_dataclass(choice)
    }
    if tagged and isinstance(data, Mapping):
        kinds = {typing.get_args(literal)[0]: choice for literal, choice in tagged.items()}
        kind = data.get("kind")
        if kind not in list(kinds):  # a list, because what is not hashable may stand here
            raise RecordError(
                f"{_join(where, 'kind')!r} must be one of {', '.join(map(repr, kinds))}, not {kind!r}"
            )
        return _convert(kinds[kind], data, where)
    for choice in rest:
        try:
            return _convert(choice, data, where)
        except RecordError:
            continue
    raise RecordError(f"{where!r} has the wrong type: {_kind(data)}")


def _convert_tuple(arguments: Sequence[Any], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise RecordError(f"{where!r} must be a list, not {_kind(data)}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(data))
    if len(arguments) != len(data):
        raise RecordError(f"{where!r} must hold {len(arguments)} items, not {len(data)}")
    return tuple(
        _convert(hint, item, f"{where}[{index}]")
        for index, (hint, item) in enumerate(zip(arguments, data, strict=True))
    )


def _convert_scalar(hint: Any, data: Any, where: str) -> Any:
    if hint is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        try:
            number = float(data)
        except OverflowError:  # whole numbers in TOML and JSON have no limit
            number = math.inf
        if not math.isfinite(number):
            raise RecordError(f"{where!r} must be a finite number, not {str(data)[:20]}")
        return number
    if isinstance(hint, type) and isinstance(data, hint) and (hint is bool or not isinstance(data, bool)):
        return data
    raise RecordError(f"{where!r} must be {_NAMES.get(hint, str(hint))}, not {_kind(data)}")


_NAMES: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _kind(data: Any) -> str:
    if isinstance(data, str):
        return f"the text {data[:40]!r}"
    if isinstance(data, bool):
        return str(data).lower()
    if isinstance(data, (int, float)):
        return f"the number {str(data)[:20]}"
    return {dict: "a table", list: "a list", type(None): "nothing"}.get(type(data), type(data).__name__)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
