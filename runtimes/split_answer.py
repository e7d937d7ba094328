"""A server's answer, read with as much doubt as anything from outside."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgepress.errors import NoAnswerError
from edgepress.inputs.npy import UNREADABLE, read_header
from edgepress.outputs import Label

LARGEST = 64 << 20
_LONGEST = 500


@dataclass(frozen=True)
class Answer:
    """What a server gave for a stream or a file.

    Attributes:
        labels: the most probable classes; empty where the network has none, or a tensor was asked for.
        outputs: the first output, where it was asked for.
        identity: of the student or the bundle that answered; empty beside a tensor.
        rate: of the stream; None for files.
        server_ms: from the request's last byte to the answer, waiting included, as the server says; NaN if it does not.
        seconds: for the whole question, repeats included.
        tries: how often it was asked.
        sent: bytes of the body.
    """

    labels: list[Label]
    outputs: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    identity: str = ""
    rate: int | None = None
    server_ms: float = math.nan
    seconds: float = 0.0
    tries: int = 1
    sent: int = 0


def read_answer(
    body: bytes, headers: Mapping[str, str], tensor: bool, url: str, seconds: float, tries: int, sent: int
) -> Answer:
    """Read a reply with status 200.

    Args:
        body: JSON, or a ``.npy`` file where ``tensor`` was asked for.
        headers: of the reply.
        url: for messages.
        seconds, tries, sent: see :class:`Answer`.

    Raises:
        NoAnswerError: it is no such answer.
    """
    names = {name.lower(): value for name, value in headers.items()}
    try:
        if tensor:
            file = io.BytesIO(body)
            read_header(file)  # that there is as much as it says, before memory is taken
            file.seek(0)
            array = np.load(file, allow_pickle=False)
            name = json.loads(names.get("x-output", '"output"'))
            ms = float(names.get("x-server-ms", "nan"))
            return Answer([], {_text(name): array}, server_ms=ms, seconds=seconds, tries=tries, sent=sent)
        data = json.loads(body)
        labels = [
            Label(_whole(one["index"]), _text(one["label"]), _figure(one["score"])) for one in data["labels"]
        ]
        rate = None if data["rate"] is None else _whole(data["rate"])
        return Answer(
            labels, {}, _text(data["identity"]), rate, _figure(data["server_ms"]), seconds, tries, sent
        )
    except (*UNREADABLE, KeyError, OverflowError):
        raise NoAnswerError(
            f"{url} answers with something else than an edgepress server; check the address"
        ) from None


def sentence_of(body: bytes) -> str:
    """The reason in the body of a refusal, short and on one line; empty where there is none."""
    try:
        text = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return " ".join(text.split())[:_LONGEST] if isinstance(text, str) else ""


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("no whole number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _figure(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("no figure")
    return float(value)
