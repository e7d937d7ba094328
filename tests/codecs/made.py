"""Small codecs that really work, as bundles: graphs made node by node, tiles and halos as trained codecs have them.

An encoder is one strided convolution over its whole halo, mostly the mean of each block; a decoder is one convolution
over its halo, mostly that mean again. So a picture comes back blocky, and every sample of a halo counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgepress.bundle import EngineFiles, Graph, Manifest, Part, write_bundle
from edgepress.coding.description import (
    DECODER,
    DESCRIPTION,
    ENCODER,
    LEVELS,
    Codec,
    Rate,
    levels_to_bytes,
    model_name,
)
from edgepress.coding.frozen import write_codings
from edgepress.coding.table import fit_table
from edgepress.inputs import ArrayInput
from edgepress.outputs import ArrayOutput
from edgepress.runtimes.codec_session import CodecSession
from edgepress.runtimes.session import load
from edgepress.tensor import TensorSpec

Array = np.ndarray[Any, Any]

STEPS = (1.0, 2.0, 4.0, 8.0)
GAIN = 100.0  # codes of a white block


def described(
    axes: int = 2,
    channels: int = 3,
    levels: int = 2,
    tile: int = 32,
    *,
    any_size: bool = False,
    identity: str = "",
) -> Codec:
    """A codec's record; factor and encoder halo are those of a wavelet packet of so many levels."""
    factor = 2**levels
    return Codec(
        kind="walloc", content=("recording", "picture", "array")[axes - 1], axes=axes, channels=channels,
        latents=channels + 1, factor=factor, encoder_halo=(4 * (factor - 1), 3 * (factor - 1)), decoder_halo=(3, 2),
        encoder_tile=(tile,) * axes, decoder_tile=(tile,) * axes,
        rates=tuple(Rate(step, int(160 / step), float(np.log2(step) / 4), 2 / step) for step in STEPS),
        identity=identity or f"{axes}{channels}{levels}".ljust(32, "0"), any_size=any_size,
    )  # fmt: skip


def encoder(codec: Codec, seed: int = 0) -> onnx.ModelProto:
    """Samples of a tile with its halo → codes."""
    before, after = codec.encoder_halo
    size, inner = codec.factor + before + after, [slice(before, before + codec.factor)] * codec.axes
    weight = np.random.default_rng(seed).standard_normal(
        (codec.latents, codec.channels, *(size,) * codec.axes)
    )
    weight *= 4 / size ** (codec.axes / 2)
    for channel in range(codec.channels):
        weight[channel, channel][tuple(inner)] += GAIN / codec.factor**codec.axes
    node = helper.make_node(
        "Conv", ["samples", "weight"], ["codes"], "analysis", strides=[codec.factor] * codec.axes
    )
    shapes = codec.encoder_shape(), (1, codec.latents, *(size // codec.factor for size in codec.encoder_tile))
    return _model(codec, [node], ("samples", "codes"), shapes, {"weight": weight.astype(np.float32)})


def decoder(codec: Codec, seed: int = 1) -> onnx.ModelProto:
    """Latents of a tile with their halo, and the step's plane → samples."""
    size, factor, axes = sum(codec.decoder_halo) + 1, codec.factor, codec.axes
    blocks = factor**axes
    weight = np.random.default_rng(seed).standard_normal(
        (codec.channels * blocks, codec.latents + 1, *(size,) * axes)
    )
    weight *= 0.02 / GAIN
    for output in range(len(weight)):
        weight[(output, output // blocks, *(codec.decoder_halo[0],) * axes)] += 1 / GAIN
    weight[:, -1] = 0.001
    counts = [size // factor for size in codec.decoder_tile]
    apart = [1, codec.channels, *(factor,) * axes, *(0 if codec.any_size else count for count in counts)]
    order = [0, 1, *(axis for k in range(axes) for axis in (2 + axes + k, 2 + k))]
    nodes = [helper.make_node("Conv", ["latents", "weight"], ["bands"], "synthesis")]
    if codec.any_size:  # DepthToSpace takes any extents
        nodes.append(
            helper.make_node("DepthToSpace", ["bands"], ["samples"], "join", blocksize=factor, mode="CRD")
        )
        constants: dict[str, Array] = {}
    else:
        nodes += [
            helper.make_node("Reshape", ["bands", "apart"], ["blocks"], "cut"),
            helper.make_node("Transpose", ["blocks"], ["beside"], "turn", perm=order),
            helper.make_node("Reshape", ["beside", "whole"], ["samples"], "join"),
        ]
        constants = {"apart": np.array(apart), "whole": np.array([1, codec.channels, *codec.decoder_tile])}
    shapes = codec.decoder_shape(), (1, codec.channels, *codec.decoder_tile)
    return _model(
        codec, nodes, ("latents", "samples"), shapes, {"weight": weight.astype(np.float32), **constants}
    )


def write_codec(path: Path, codec: Codec, parts: tuple[str, ...] = (ENCODER, DECODER)) -> Path:
    """A bundle of it, for ONNX Runtime."""
    members: dict[str, bytes] = {
        DESCRIPTION: codec.to_bytes(),
        LEVELS: levels_to_bytes(_levels(codec), codec),
    }
    noise = np.random.default_rng(2)
    for index, rate in enumerate(codec.rates):
        table = fit_table(np.rint(noise.laplace(0, 20 / rate.step, 4096)).astype(np.int64))
        members[model_name(index)] = write_codings([(table,) * codec.latents])
    tables = {name: f"codec/{name}" for name in members}
    members = {tables[name]: data for name, data in members.items()}
    records = {}
    for part, made in ((ENCODER, encoder), (DECODER, decoder)):
        if part in parts:
            graph = Graph(f"{part}/graph.onnx", 9, 17)
            model = made(codec)
            members[graph.member] = model.SerializeToString(deterministic=True)
            given, gives = (
                _spec(value, codec, part) for value in (model.graph.input[0], model.graph.output[0])
            )
            records[part] = Part(
                "board", graph, (given,), (gives,), {given.name: ArrayInput()}, {gives.name: ArrayOutput()},
                {"ort": EngineFiles(graph=graph)}, "ort", "the only one", tables=tables,
            )  # fmt: skip
    board = {
        "name": "board",
        "title": "A board",
        "kind": "host",
        "cpu": {"arch": "x86_64", "model": "generic", "cores": 1},
    }
    manifest = Manifest("blocks", {"kind": "test"}, {"name": "none"}, {"board": board}, records, (), {}, {})
    write_bundle(path, manifest, members)
    return path


@contextmanager
def session(path: Path, **options: Any) -> Iterator[CodecSession]:
    """A codec's bundle, loaded."""
    with load(path, **options) as loaded:
        assert isinstance(loaded, CodecSession)
        yield loaded


def smooth(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Values from −1 to 1 that change slowly, as pictures and sounds do; the last axes are the long ones."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    for axis in range(max(0, len(shape) - 3), len(shape)):
        if shape[axis] > 16:
            kernel = np.hanning(13) / np.hanning(13).sum()
            noise = np.apply_along_axis(np.convolve, axis, noise, kernel, mode="same")
    return np.clip(noise / (np.abs(noise).max() or 1), -1, 1)


def _levels(codec: Codec) -> list[Array]:
    return [
        np.tile(np.arange(-rate.highest, rate.highest + 1) * rate.step, (codec.latents, 1)).astype(np.float32)
        for rate in codec.rates
    ]


def _model(
    codec: Codec,
    nodes: list[Any],
    names: tuple[str, str],
    shapes: tuple[Any, Any],
    constants: dict[str, Array],
) -> onnx.ModelProto:
    free = [
        [*shape[:2], *map("n{}".format, range(codec.axes))] if codec.any_size else shape for shape in shapes
    ]
    if codec.any_size:
        free[1][2:] = [f"m{axis}" for axis in range(codec.axes)]
    values = [helper.make_tensor_value_info(name, 1, shape) for name, shape in zip(names, free, strict=True)]
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "half", values[:1], values[1:], stored)
    made = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(made, full_check=True)
    return made


def _spec(value: Any, codec: Codec, part: str) -> TensorSpec:
    """The manifest lists one tile, whatever else the graph takes."""
    shapes = {
        (ENCODER, "samples"): codec.encoder_shape(),
        (ENCODER, "codes"): (1, codec.latents, *(size // codec.factor for size in codec.encoder_tile)),
        (DECODER, "latents"): codec.decoder_shape(),
        (DECODER, "samples"): (1, codec.channels, *codec.decoder_tile),
    }
    return TensorSpec(value.name, shapes[part, value.name])
