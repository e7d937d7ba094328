"""Answers as they are sent: JSON, or the first output as a ``.npy`` file."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.runtimes.session import Result

TENSOR = b"application/octet-stream"
JSON = b"application/json"


@dataclass(frozen=True)
class Reply:
    """What goes back.

    Attributes:
        status: of HTTP.
        kind: the content's type.
        body: the content.
        headers: more of them.
    """

    status: int
    kind: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_reply(status: int, data: Any, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """Data as JSON."""
    return Reply(status, JSON, (json.dumps(data, allow_nan=False) + "\n").encode(), headers)


def answer_reply(about: dict[str, Any], result: Result, tensor: bool) -> Reply:
    """The answer to a question.

    Args:
        about: what stands in JSON beside labels and outputs.
        result: of the network.
        tensor: send the first output alone; its name goes in the header ``X-Output``, the time in ``X-Server-Ms``.
    """
    if tensor:
        name, array = next(iter(result.outputs.items()))
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        headers = (
            (b"x-output", json.dumps(name).encode()),
            (b"x-server-ms", str(about["server_ms"]).encode()),
        )
        return Reply(200, TENSOR, file.getvalue(), headers)
    labels = [
        {"label": one.name, "index": one.index, "score": _finite(one.probability)} for one in result.labels
    ]
    outputs = {
        name: {"shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in result.outputs.items()
    }
    return json_reply(200, {**about, "labels": labels, "outputs": outputs})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
