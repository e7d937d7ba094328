"""A student's networks as they ship, held against its torch modules on examples of the device's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgepress.build.ways import Engines, ways_of
from edgepress.coding.split import DEVICE, integers, server_input
from edgepress.progress import Progress
from edgepress.samples import Feed, Samples
from edgepress.split_source import LATENTS, SplitSource

Array = np.ndarray[Any, Any]

_ANSWERS = 32  # each by torch too: the server's half is large


def head_feeds(source: SplitSource, taken: Sequence[Feed]) -> list[Feed]:
    """What the server's heads are given for the device's examples, the rates in turn."""
    return _heads_take(source, _latents(source, taken))


def compare_split(
    source: SplitSource, graphs: Mapping[str, Path], engines: Engines, samples: Samples, progress: Progress
) -> list[dict[str, Any]]:
    """How many symbols, and how many of the server's first classes, are torch's, for each way of running the networks.

    Args:
        source: the student.
        graphs: each part's portable graph.
        engines: what runs here of each part: name, folder, facts.
        samples: examples of the device's input.

    Returns:
        Facts: ``part``, ``how``, ``detail`` and ``share``: of symbols, at the rate where fewest are the same; or of
        first classes, where a head gives one row of scores.
    """
    ways = {part: ways_of(graph, engines[part]) for part, graph in graphs.items()}
    total, done = sum(map(len, ways.values())) + 1, 0
    progress(0, total, "torch")
    feeds = samples.load()
    expected = _latents(source, feeds)
    wanted = [_sent(source, latents) for latents in expected]
    figures: list[dict[str, Any]] = []
    for how, way in ways[DEVICE].items():
        progress(done := done + 1, total, f"{DEVICE}, {how}")
        found = [_sent(source, given[LATENTS]) for given in way(feeds)]
        same = [
            [np.mean(a == b) for a, b in zip(x, y, strict=True)] for x, y in zip(found, wanted, strict=True)
        ]
        shares = np.mean(same, axis=0)
        detail = "each rate: " + ", ".join(f"{share:.5f}" for share in shares)
        figures.append({"part": DEVICE, "how": how, "detail": detail, "share": float(shares.min())})
    taken = _heads_take(source, expected[:_ANSWERS])
    for part in source.description.heads:
        name = source.outputs(part)[0]
        module = source.frozen().heads[part].module
        with torch.no_grad():
            answers = [module(torch.from_numpy(feed[LATENTS])).numpy() for feed in taken]
        if answers[0].ndim != 2:  # no scores of classes; the golden examples were compared value by value
            continue
        first = [int(scores.argmax()) for scores in answers]
        for how, way in ways[part].items():
            progress(done := done + 1, total, f"{part}, {how}")
            found_first = [int(given[name].argmax()) for given in way(taken)]
            share = float(np.mean(np.equal(first, found_first)))
            detail = f"{len(first)} answers, the rates in turn"
            figures.append({"part": part, "how": how, "detail": detail, "share": share})
    return figures


def _latents(source: SplitSource, feeds: Sequence[Feed]) -> list[Array]:
    """What the device's half in torch gives."""
    encoder, (tensor,) = source.frozen().encoder, source.inputs(DEVICE)
    with torch.no_grad():
        return [encoder(torch.from_numpy(feed[tensor.name])).numpy() for feed in feeds]


def _sent(source: SplitSource, latents: Array) -> list[Array]:
    """The integers at every rate."""
    return [integers(latents[0], steps, source.description.highest) for steps in source.frozen().steps]


def _heads_take(source: SplitSource, latents: Sequence[Array]) -> list[Feed]:
    split, frozen = source.description, source.frozen()
    found = []
    for number, each in enumerate(latents):
        rate = number % len(split.rates)
        steps = frozen.steps[rate]
        sent = integers(each[0], steps, split.highest)
        found.append({LATENTS: server_input(sent, steps, split.rates[rate].plane)})
    return found
