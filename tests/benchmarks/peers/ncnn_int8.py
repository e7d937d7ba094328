"""What ncnn2int8 does, for the layers of the benchmark: int8 weights by channel, one scale for each input.

ncnn has signed symmetric activations only: their scales come from the ranges in the QDQ graph, the weights
are its integers. Between two integer layers in a row the sums are requantised at once. Its Gemm has one scale
for all weights and finds those of the activations while it runs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edgepress.graph.index import Index
from tests.benchmarks.peers.inputs import Array

_INT8_TAG = 0x000D4B38
_WEIGHTED = ("Convolution", "ConvolutionDepthWise", "InnerProduct")
_STORED = (*_WEIGHTED, "Gemm")  # weights behind a tag
_FUSED = ("Convolution", "ConvolutionDepthWise")


@dataclass
class _Layer:
    """One line of the .param file and its numbers in the .bin file."""

    kind: str
    words: list[str]
    inputs: list[str]
    outputs: list[str]
    options: dict[str, str]
    data: list[Array]

    @property
    def line(self) -> str:
        counts = [str(len(self.inputs)), str(len(self.outputs))]
        options = [f"{key}={value}" for key, value in self.options.items()]
        return " ".join([*self.words, *counts, *self.inputs, *self.outputs, *options])


@dataclass(frozen=True)
class _Integer:
    """A layer of the QDQ graph: weights as floats and integers, their scales, the input's largest magnitude."""

    plain: Array
    weights: Array
    scales: Array
    largest: float


def quantise(param: Path, weights: Path, qdq: Path) -> None:
    """Rewrite both files in place.

    Raises:
        NotImplementedError: a layer stores numbers in a way that is not known here, or is not in the QDQ graph.
    """
    lines = param.read_text("utf-8").splitlines()
    layers = _read(lines[2:], weights.read_bytes())
    known = _integers(onnx.load(qdq))
    scales: dict[int, float] = {}
    for i, layer in enumerate(layers):
        if layer.kind == "Gemm":
            _quantise_gemm(layer)
        if layer.kind not in _WEIGHTED:
            continue
        found = min(
            (one for one in known if one.plain.size == layer.data[0].size),
            key=lambda one: float(np.abs(one.plain - layer.data[0]).max()), default=None,
        )  # fmt: skip
        if found is None or float(np.abs(found.plain - layer.data[0]).max()) > 0.05 * float(
            np.abs(layer.data[0]).max()
        ):
            raise NotImplementedError(f"{layer.words[1]} is not in the QDQ graph")
        scales[i] = 127.0 / found.largest
        layer.options["8"] = "1"
        layer.data = [found.weights.astype(np.int8), *layer.data[1:]]
        layer.data += [(1.0 / found.scales).astype(np.float32), np.array([scales[i]], np.float32)]
    readers = {
        name: [k for k, other in enumerate(layers) if name in other.inputs]
        for one in layers
        for name in one.outputs
    }
    for layer in layers:
        after = readers.get(layer.outputs[0], []) if layer.outputs else []
        if layer.kind in _FUSED and len(after) == 1 and layers[after[0]].kind in _FUSED:
            layer.options["8"] = "101"
            layer.data.append(np.array([scales[after[0]]], np.float32))
    param.write_text("\n".join([*lines[:2], *(layer.line for layer in layers)]) + "\n", "utf-8")
    weights.write_bytes(b"".join(_bytes(layer) for layer in layers))


def _quantise_gemm(layer: _Layer) -> None:
    scale = 127.0 / float(np.abs(layer.data[0]).max())
    layer.options["18"] = "1"
    layer.data[0] = np.rint(layer.data[0] * scale).astype(np.int8)
    layer.data.append(np.array([scale], np.float32))


def _read(lines: list[str], data: bytes) -> list[_Layer]:
    layers, place = [], 0

    def floats(count: int) -> Array:
        nonlocal place
        found = np.frombuffer(data, np.float32, count, place)
        place += 4 * count
        return found

    for line in lines:
        words = line.split()
        given, made = int(words[2]), int(words[3])
        rest = words[4:]
        options = dict(word.split("=", 1) for word in rest[given + made :])
        layer = _Layer(words[0], words[:2], rest[:given], rest[given : given + made], options, [])
        if layer.kind in _STORED:
            if layer.kind == "Gemm" and [options.get(key) for key in ("4", "5", "6", "10")] != [
                "0",
                "1",
                "1",
                "4",
            ]:
                raise NotImplementedError(f"{words[1]} is another form of Gemm")
            (tag,) = struct.unpack_from("<I", data, place)
            place += 4
            if tag:
                raise NotImplementedError(f"{words[1]} has weights of form {tag:#x}")
            if layer.kind == "Gemm":
                layer.data.append(floats(int(options["8"]) * int(options["9"])))
                place += 4  # its bias has a tag too
                layer.data.append(floats(int(options["8"])))
                layers.append(layer)
                continue
            bias, size = ("1", "2") if layer.kind == "InnerProduct" else ("5", "6")
            layer.data.append(floats(int(options[size])))
            if options.get(bias) == "1":
                layer.data.append(floats(int(options["0"])))
        elif layer.kind == "LayerNorm":
            layer.data += [floats(int(options["0"])), floats(int(options["0"]))]
        layers.append(layer)
    if place != len(data):
        raise NotImplementedError("a layer stores numbers in a way that is not known here")
    return layers


def _bytes(layer: _Layer) -> bytes:
    parts = []
    for i, array in enumerate(layer.data):
        raw = np.ascontiguousarray(array).tobytes()
        if layer.kind in _STORED and i == 0:
            raw = struct.pack("<I", _INT8_TAG if array.dtype == np.int8 else 0) + raw + bytes(-len(raw) % 4)
        elif layer.kind == "Gemm" and i == 1:
            raw = bytes(4) + raw
        parts.append(raw)
    return b"".join(parts)


def _integers(model: onnx.ModelProto) -> list[_Integer]:
    index = Index.of(model.graph)

    def value(name: str) -> Array:
        found = index.value(name)
        assert found is not None
        return np.asarray(found)

    layers = []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        given, weight = (index.producer[name] for name in node.input[:2])
        integers, scales = value(weight.input[0]), value(weight.input[1])
        if node.op_type == "Gemm" and not any(one.name == "transB" and one.i for one in node.attribute):
            integers = integers.T
        scales = np.broadcast_to(scales, integers.shape[:1])
        plain = integers * scales.reshape(-1, *[1] * (integers.ndim - 1))
        zero = int(value(given.input[2]))
        low = 0 if value(given.input[2]).dtype == np.uint8 else -128
        largest = float(value(given.input[1])) * max(zero - low, low + 255 - zero)
        layers.append(_Integer(plain.ravel().astype(np.float32), integers.ravel(), scales, largest))
    return layers
