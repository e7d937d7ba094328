"""One line for each request: plain text for people, JSON for programs; never what was sent."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any, Literal

Form = Literal["text", "json"]
_LONGEST = 200


class Journal:
    """Writes the lines.

    Args:
        form: ``text`` or ``json``.
        say: takes a line; where it fails, the line is lost and the request is not.
    """

    def __init__(self, form: Form, say: Callable[[str], None]) -> None:
        self._form, self._say = form, say

    def request(self, **fields: Any) -> None:
        """A request is done; fields that are None are left out."""
        self._line("request", fields)

    def event(self, what: str, **fields: Any) -> None:
        """Something else that an operator should know."""
        self._line(what, fields)

    def _line(self, what: str, fields: dict[str, Any]) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        known = {key: _short(value) for key, value in fields.items() if value is not None}
        if self._form == "json":
            line = json.dumps({"time": stamp, "event": what, **known}, ensure_ascii=True)
        else:
            line = " ".join([stamp, what, *(f"{key}={_word(value)}" for key, value in known.items())])
        with contextlib.suppress(OSError, ValueError):
            self._say(line)


def _short(value: Any) -> Any:
    """Text from outside stays short, and on one line."""
    if not isinstance(value, str):
        return value
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in value[:_LONGEST])


def _word(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text else text
