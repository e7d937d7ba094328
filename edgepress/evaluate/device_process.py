"""The device's end of a measurement, in a process of its own: makes what is sent, sends it, waits for the answer.

Each line of its standard input is a question in JSON, each answer a line: ``{"open": …}`` once, then ``{"picture": n,
"url": …}`` for every run.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgepress.coding.split import DEVICE
from edgepress.errors import EdgepressError
from edgepress.evaluate.picture_codec import Picture
from edgepress.evaluate.pillow_codecs import PillowCodec
from edgepress.evaluate.teacher import crop
from edgepress.inputs import ImageInput, read_value
from edgepress.inputs.image import pixels
from edgepress.records import decode
from edgepress.runtimes.session import load
from edgepress.runtimes.split_client import SplitClient
from edgepress.runtimes.split_session import SplitSession

_PATIENCE = 120.0  # seconds for an answer: at 0.1 Mbit/s a picture may take a while

Encode = Callable[[Picture], bytes]
Whole = Callable[[Picture], int]


class Device:
    """What the process holds.

    Args:
        about: ``pictures`` (paths), and what is done with each: ``bundle`` and ``rate`` of a split network, ``bundle``
            alone of a whole one, or ``codec``, ``rate``, ``prepare`` (an image's input kind) and ``size`` (rows,
            columns); ``engine`` and ``trust`` for bundles.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        self._pictures = [pixels(*read_value(Path(path))) for path in about["pictures"]]
        self._clients: dict[str, SplitClient] = {}
        self._encode: Encode | None = None
        self._whole: Whole | None = None
        if "codec" in about:
            self._encode = _codec(about)
        else:
            session = load(about["bundle"], engine=about["engine"], trust=about["trust"], threads=1)
            if isinstance(session, SplitSession):
                session.network(DEVICE)
                self._encode = lambda picture: session.encode(picture, int(about["rate"]))
            else:
                self._whole = lambda picture: session.run(picture, 1).labels[0].index

    def run(self, number: int, url: str) -> dict[str, Any]:
        """One picture, from its samples to the answer; times in ms."""
        picture = self._pictures[number]
        start = time.perf_counter()
        if self._encode is None:
            assert self._whole is not None
            found = self._whole(picture)
            device = 1e3 * (time.perf_counter() - start)
            return {
                "device_ms": device,
                "total_ms": device,
                "server_ms": 0.0,
                "bytes": 0,
                "class": found,
                "tries": 0,
            }
        body = self._encode(picture)
        made = time.perf_counter()
        answer = self._client(url).answer(body, top=1)
        end = time.perf_counter()
        return {
            "device_ms": 1e3 * (made - start), "total_ms": 1e3 * (end - start), "server_ms": answer.server_ms,
            "bytes": len(body), "class": answer.labels[0].index, "tries": answer.tries,
        }  # fmt: skip

    def _client(self, url: str) -> SplitClient:
        if url not in self._clients:
            self._clients[url] = SplitClient(url, timeout=_PATIENCE)
        return self._clients[url]


def _codec(about: Mapping[str, Any]) -> Encode:
    codec, kind = PillowCodec(about["codec"]), decode(ImageInput, about["prepare"])
    rows, columns = about["size"]
    return lambda picture: codec.encode(crop(kind, picture, rows, columns), about["rate"])


def main() -> None:
    """Answer until there are no more questions."""
    device: Device | None = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "open" in question:
                device, answer = Device(question["open"]), {}
            else:
                assert device is not None
                answer = device.run(question["picture"], question["url"])
        except EdgepressError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
