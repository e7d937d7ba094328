"""What joins a codec's networks in a build: the check of its symbols, and the tables that both parts name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.build import steps
from edgepress.build.assemble import Finished
from edgepress.build.engines import AGREEMENT
from edgepress.build.job import Job
from edgepress.build.joined import Sent, Shared, refuse_described, refuse_options
from edgepress.build.press import calibration_samples
from edgepress.build.runnable import engines_of, keys_of, runnable
from edgepress.build.sending import Sending
from edgepress.bundle import Check
from edgepress.codec_source import CODES, SAMPLES, CodecSource
from edgepress.coding.description import DECODER, DESCRIPTION, ENCODER, LEVELS, levels_to_bytes, model_name
from edgepress.errors import CheckError, UsageError
from edgepress.recipe import Recipe
from edgepress.samples import Feed
from edgepress.source import Source

LOSS = 0.01  # dB that the compiled networks may lose against torch
_SAMPLES = 8  # tiles, which are large


@dataclass(frozen=True)
class JoinedCodec:
    """A codec's two networks, as :class:`edgepress.build.joined.Joined` has them."""

    source: CodecSource
    room = "codec"
    step = "symbols"
    any_size = True

    def fitting(self, recipe: Recipe, source: Source) -> Recipe:
        """See :class:`~edgepress.build.joined.Joined`, as for all that follow."""
        if recipe.method not in ("auto", "none"):
            raise UsageError(
                f"the networks of a codec stay in float32, because streams depend on them; leave --method "
                f"{recipe.method} out"
            )
        refuse_options(recipe)
        refuse_described(recipe, f"{source.name} is a codec")
        return dataclasses.replace(recipe, method="none", samples=min(recipe.samples, _SAMPLES))

    def recipe_of(self, part: str, recipe: Recipe) -> Recipe:
        return recipe

    def has_coder(self, part: str) -> bool:
        return True

    def sending(self, part: str) -> Sending | None:
        return None

    def made_from(self, part: str) -> str:
        return ENCODER if part == DECODER else ""

    def board_of(self, part: str) -> str:
        return ""

    def examples(self, part: str, taken: list[Feed]) -> list[Feed]:
        from edgepress.build.codec_check import decoder_feeds

        tiles = [feed[SAMPLES] for feed in taken]
        return decoder_feeds(self.source.frozen(), self.source.description, tiles)

    def sent(self, part: str) -> Sent | None:
        step = np.float32(self.source.finest)
        return (lambda given: [np.rint(given[CODES] / step)]) if part == ENCODER else None

    def shared(self, job: Job, finished: Mapping[str, Finished]) -> Shared:
        return Shared(codec_tables(job, self.source, finished), {})


def codec_tables(job: Job, codec: CodecSource, finished: Mapping[str, Finished]) -> dict[str, bytes]:
    """The tables of a codec's bundle, once its networks are known to give what torch gives.

    Raises:
        CheckError: fewer symbols are the same, or the pictures are worse, than is allowed.
    """
    any_size = _check_symbols(job, codec, finished)
    frozen, described = codec.frozen(), dataclasses.replace(codec.description, any_size=any_size)
    tables = {DESCRIPTION: described.to_bytes(), LEVELS: levels_to_bytes(frozen.levels, described)}
    return tables | {model_name(rate): model for rate, model in enumerate(frozen.models)}


def _check_symbols(job: Job, codec: CodecSource, finished: Mapping[str, Finished]) -> bool:
    """Hold the networks that ship against the torch module: symbols at every rate, and what they decode to.

    Returns:
        Whether their portable graphs take any size.
    """
    encoder = finished[ENCODER]
    samples = calibration_samples(job.of(ENCODER), encoder.network.inputs, encoder.part.prepare, half=1)
    runs = runnable(job, finished)

    def work(folder: Any, progress: Any) -> None:
        from edgepress.build.codec_check import compare_codec

        paths = {part: each.network.step.folder / steps.GRAPH for part, each in finished.items()}
        graphs = {part: steps.shipped_graph(path, any_size=True) for part, path in paths.items()}
        found = compare_codec(codec.frozen(), codec.description, graphs, engines_of(runs), samples, progress)
        any_size = all(steps.takes_any_size(graph) for graph in graphs.values())
        steps.write_facts(folder, {"figures": found, "any_size": any_size})

    done = job.step(
        "symbols",
        "holding what is sent and what is decoded against torch",
        {
            "source": job.source.digest,
            **keys_of(finished, runs),
            "samples": samples.digest,
            "tile": codec.description.encoder_tile + codec.description.decoder_tile,
        },
        work,
        lambda folder: _told(steps.read_facts(folder)["figures"]),
    )
    facts = steps.read_facts(done.folder)
    for figure in facts["figures"]:
        symbols = figure["unit"] == "share"
        limit = AGREEMENT if symbols else LOSS
        passed = figure["worst"] >= limit if symbols else figure["worst"] <= limit
        step, unit = ("symbols", "share of symbols") if symbols else ("quality", "dB")
        detail = f"{figure['how']}; {figure['detail']}; {samples.origin}"
        part = ENCODER if symbols else DECODER
        job.checks.append(
            Check(step, "torch", figure["worst"], limit, unit, passed, "measured", detail, part)
        )
        if not passed:
            raise CheckError(
                f"the codec does not give what torch gives ({figure['how']}): {figure['worst']:.4g} {unit}, and the "
                f"limit is {limit:g}; report it with the codec"
            )
    return bool(facts["any_size"])


def _told(figures: list[dict[str, Any]]) -> str:
    symbols = min(figure["worst"] for figure in figures if figure["unit"] == "share")
    loss = max(figure["worst"] for figure in figures if figure["unit"] == "dB")
    return f"{symbols:.4%} of symbols the same, at most {max(loss, 0.0):.4f} dB lost"
