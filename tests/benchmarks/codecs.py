"""How fast codecs encode and decode on one thread of this machine: the CPU engine beside ONNX Runtime and torch.

    python -m tests.benchmarks.codecs [--codec walloc] [--part encoder] [--tile 512] [--rounds 9]

From an array of samples to the integers that a stream holds (or from latents to samples), one tile at a time, its halo
worked out and not counted. Engines take turns; each is held against torch first: 99.9 % of symbols must be the same.
Without weights of its own a codec is untrained, which changes no time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from edgepress.codec_source import codec_source
from edgepress.coding.description import DECODER, ENCODER
from edgepress.exporters.torch_onnx import export_module
from edgepress.graph.any_size import any_size
from edgepress.nn.codec import Codec, CodecConfig
from edgepress.nn.codec.frozen import freeze_codec
from edgepress.runtimes.native import aligned
from tests.compilers.running import compiled

Array = np.ndarray[Any, Any]
CODECS = {
    "walloc": CodecConfig(),
    "liveaction": CodecConfig("liveaction", levels=4, latents=48, encoder_blocks=3),
}
STEP = np.float32(2.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--codec", choices=CODECS, action="append", help="which; both by default")
    parser.add_argument("--part", choices=(ENCODER, DECODER), default=ENCODER)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{arguments.part}, tiles of {arguments.tile} × {arguments.tile}, one thread; megapixels a second")
    print(f"{'codec':12}{'MAC/px':>10}{'engine':>16}{'median':>9}{'most':>9}{'against torch':>15}")
    for name in arguments.codec or CODECS:
        macs, engines = prepared(name, arguments.part, arguments.tile)
        times = in_turn(engines, arguments.rounds)
        slowest = float(np.median(times["torch"]))
        for engine, seconds in times.items():
            rates = arguments.tile**2 / 1e6 / np.array(seconds)
            gain = slowest / float(np.median(seconds))
            print(f"{name:12}{macs:10,.0f}{engine:>16}{np.median(rates):9.2f}{rates.max():9.2f}{gain:14.1f}×")


def prepared(name: str, part: str, tile: int) -> tuple[float, dict[str, Callable[[], Array]]]:
    """Multiply-adds a pixel, and what runs each engine on one tile; all give what torch gives."""
    torch.manual_seed(0)
    module = Codec(CODECS[name])
    for weight in module.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    source = codec_source(freeze_codec(module, [float(STEP)], [b""]), tile)
    network = getattr(module, part)
    (spec,) = source.inputs(part)
    graph = export_module(
        network, [spec], output_names=source.outputs(part), max_opset=18, max_ir=10, cases=1
    ).model
    values = aligned(spec.bytes).view(np.float32).reshape(spec.shape)
    values[...] = np.random.default_rng(0).uniform(-1, 1, spec.shape)

    with tempfile.TemporaryDirectory() as folder:
        _, native = compiled(graph, Path(folder))
    made = {out.name: aligned(out.bytes).view(np.float32).reshape(out.shape) for out in native.outputs}
    run, (result,) = native.bind({spec.name: values}, made), made.values()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        "ONNX Runtime": onnxruntime.InferenceSession(graph.SerializeToString(), options),
        "  of any size": onnxruntime.InferenceSession(any_size(graph).SerializeToString(), options),  # type: ignore[union-attr]
    }

    def finished(found: Array) -> Array:
        return np.rint(found / STEP).astype(np.int16) if part == ENCODER else found

    def by_aot() -> Array:
        run()
        return finished(result)

    @torch.no_grad()
    def by_torch() -> Array:
        return finished(network(torch.from_numpy(values)).numpy())

    engines: dict[str, Callable[[], Array]] = {"aot": by_aot}
    for engine, session in sessions.items():
        engines[engine] = lambda session=session: finished(session.run(None, {spec.name: values})[0])  # type: ignore[misc]
    expected = by_torch()
    for engine, work in engines.items():
        found = work()
        if part == ENCODER:
            assert np.mean(found == expected) >= 0.999, engine
        else:
            np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), err_msg=engine)
    macs = source.description.encoder_macs if part == ENCODER else source.description.decoder_macs
    return macs, engines | {"torch": by_torch}


def in_turn(engines: dict[str, Callable[[], Array]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each engine, one run of each in every round."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, work in engines.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
