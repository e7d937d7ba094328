"""Turn a table of plain data (TOML, JSON) into a frozen dataclass, strictly, guided by its annotations.

Nothing here knows what a board is: an unknown key, a missing one and a wrong type each give one sentence.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from edgepress.errors import UsageError

T = TypeVar("T")

_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def build(cls: type[T], table: Mapping[str, Any], file: str, where: str = "") -> T:
    """Build ``cls`` from ``table``.

    Args:
        cls: a dataclass whose fields are text, numbers, other dataclasses, tuples of these, or optional ones.
        table: the data.
        file: what to call the file in messages.
        where: the table's own name in that file, such as ``cpu.cache``; empty for the whole file.

    Raises:
        UsageError: a key is unknown or missing, or a value has the wrong type.
    """
    known = _known(cast(Any, cls))
    for key in table:
        if key not in known:
            raise UsageError(unknown_key(key, known, file, where))
    values: dict[str, Any] = {}
    for key, (spec, hint) in known.items():
        at = f"{where}.{key}" if where else key
        if key in table:
            values[key] = _value(hint, table[key], file, at)
        elif spec.default is MISSING and spec.default_factory is MISSING:
            raise UsageError(f"{file} lacks the key '{at}'; add it, or inherit it with base = \"NAME\"")
    try:
        return cls(**values)
    except ValueError as error:
        raise UsageError(f"{file} has a wrong '{where or cls.__name__}': {error}") from None


def unknown_key(key: str, known: Mapping[str, Any], file: str, where: str) -> str:
    """The sentence for a key that means nothing: the key, the file and the nearest known key."""
    place = f"{file}, table [{where}]" if where else file
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    mend = f"did you mean '{near[0]}'?" if near else f"known keys are {', '.join(sorted(known))}"
    return f"{place} has the unknown key '{key[:80]}'; {mend}"


@cache
def _known(cls: type[Any]) -> dict[str, tuple[Field[Any], Any]]:
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    return {spec.name: (spec, hints[spec.name]) for spec in fields(cls)}


def _value(hint: Any, value: Any, file: str, at: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (hint,) = (one for one in get_args(hint) if one is not type(None))
        return _value(hint, value, file, at)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _wrong("a list", value, file, at)
        inner = get_args(hint)[0]
        return tuple(_value(inner, one, file, f"{at}[{index}]") for index, one in enumerate(value))
    if origin is Literal:
        if value not in get_args(hint):
            raise UsageError(
                f"{file} has {repr(value)[:80]} for '{at}'; it is one of {', '.join(get_args(hint))}"
            )
        return value
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise _wrong("a table", value, file, at)
        return build(hint, value, file, at)  # type: ignore[arg-type]
    return _plain(hint, value, file, at)


def _plain(hint: type, value: Any, file: str, at: str) -> Any:
    if hint is float and type(value) in (int, float):
        try:
            number = float(value)
        except OverflowError:  # TOML's whole numbers have no limit
            number = math.inf
        if not math.isfinite(number):
            raise UsageError(f"{file} has {str(value)[:20]} for '{at}'; give a finite number")
        return number
    if type(value) is not hint:  # not isinstance: a bool is an int in Python, and not in a board's file
        raise _wrong(_KINDS[hint], value, file, at)
    return value


def _wrong(wanted: str, value: Any, file: str, at: str) -> UsageError:
    if isinstance(value, Mapping):
        got = "a table"
    elif isinstance(value, (list, tuple)):
        got = "a list"
    else:
        got = _KINDS.get(type(value), type(value).__name__)
    return UsageError(f"{file} has {got} for '{at}'; give {wanted}")
