"""A codec's two networks, each started when it is first needed."""

from __future__ import annotations

import math
import threading

from edgepress.bundle import Bundle
from edgepress.coding.description import DECODER, ENCODER
from edgepress.errors import UsageError
from edgepress.runtimes.choose import PORTABLE, Choice, choose
from edgepress.runtimes.codec_form import CodecForm
from edgepress.runtimes.codec_run import TileRun
from edgepress.runtimes.engine import Engine

_FREE = ("ort", PORTABLE)  # engines whose graphs take any size, where the bundle's do
_WASTE = 8  # times as much as is needed that a tile may give, before another engine takes less
_VERB = {ENCODER: "encode", DECODER: "decode"}


class Networks:
    """The networks of a codec's bundle.

    A compiled network always computes a whole tile. Where that is many times what is needed, as for thumbnails, the
    portable graph runs in its place if it takes any size, unless an engine was asked for by name.

    Args:
        bundle: the open bundle.
        form: of the codec.
        asked, trust, threads: as for :func:`edgepress.load`.
    """

    def __init__(
        self, bundle: Bundle, form: CodecForm, asked: str | None, trust: bool, threads: int | None
    ) -> None:
        self._bundle, self._form, self._asked, self._trust, self._threads = (
            bundle,
            form,
            asked,
            trust,
            threads,
        )
        self._choices: dict[str, Choice] = {}
        self._runs: dict[tuple[str, str], TileRun] = {}
        self._lock = threading.Lock()

    def add(self, part: str, choice: Choice, engine: Engine) -> None:
        """Take over an engine that runs already."""
        self._choices.setdefault(part, choice)
        self._runs[part, choice.engine] = self._tile_run(part, choice, engine)

    def run(self, part: str, extents: tuple[int, ...]) -> TileRun:
        """What runs the tiles of a part for samples of these extents.

        Raises:
            UsageError: the bundle does not hold the part.
        """
        if part not in self._bundle.manifest.parts:
            raise UsageError(
                f"{self._bundle.path} holds no {part}, so it cannot {_VERB[part]}; take the whole codec's bundle"
            )
        with self._lock:
            if part not in self._choices:
                self._choices[part] = choose(self._bundle, part, self._asked, self._trust)
            chosen = self._started(part, self._choices[part])
            if self._asked is None and self._form.codec.any_size:
                results = self._form.codes(extents)
                if math.prod(chosen.tile(results)) > _WASTE * math.prod(results):
                    return self._started(part, Choice(PORTABLE))
            return chosen

    def close(self) -> None:
        """Let the engines go."""
        self._runs.clear()

    def _started(self, part: str, choice: Choice) -> TileRun:
        if (part, choice.engine) not in self._runs:
            self.add(part, choice, choice.start(self._bundle, part, self._threads))
        return self._runs[part, choice.engine]

    def _tile_run(self, part: str, choice: Choice, engine: Engine) -> TileRun:
        form, codec = self._form, self._form.codec
        record, free = self._bundle.manifest.parts[part], codec.any_size and choice.engine in _FREE
        if part == ENCODER:
            channels, made = (codec.channels, codec.latents), 1
            return TileRun(engine, record, form.encoder_reach, channels, made, free)
        channels, made = (codec.latents + 1, codec.channels), codec.factor
        return TileRun(engine, record, form.decoder_reach, channels, made, free)
