"""Static eight-bit quantisation after training, written as QuantizeLinear and DequantizeLinear nodes.

::

    float graph ─► plan ─► statistics ─► ranges ─► weights and biases ─► QDQ graph
             (which nodes)  (calibration inputs)   (one scale a channel)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import onnx

from edgepress.errors import SourceError, UsageError
from edgepress.graph.index import Index
from edgepress.graph.precision import precisions
from edgepress.graph.saturation import drop_saturated
from edgepress.graph.shapes import infer_shapes
from edgepress.graph.tidy import tidy
from edgepress.methods import Feeds, Method, Part, Pressed
from edgepress.methods.int8.compensate import compensated, gather, mean_shift
from edgepress.methods.int8.plan import WEIGHTED, Plan, make_plan
from edgepress.methods.int8.ranges import Quantisation, choose_range, quantisation
from edgepress.methods.int8.standing import find_standing, fitting, retyped
from edgepress.methods.int8.statistics import Statistics, collect
from edgepress.methods.int8.weights import (
    IntegerWeight,
    channel_axis,
    channel_scales,
    round_to_nearest,
    smallest_scale,
)
from edgepress.methods.int8.write import write_qdq
from edgepress.progress import Progress

NOTHING_KEPT: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Int8Config:
    """How the network is quantised.

    Attributes:
        calibration: how ranges of activations are chosen: ``minmax``, ``percentile``, ``entropy`` or ``mse``.
        percentile: the share of values that ``percentile`` keeps, in per cent.
        float_nodes: shell patterns of names of nodes that stay in float, such as ``features.0/*``.
        rounding: ``compensated`` (GPTQ and corrected biases) or ``nearest``.
        correct_bias: let the bias take up what rounding moves on average; ``compensated`` always does.
        per_channel: one weight scale for each output channel, or one for the whole tensor.
        weight_bits: 8, or 7 where the target adds products of eight bits in 16 (x86 without VNNI).
        quantise_output: round the results of a last matrix product to integers of their own too.
    """

    calibration: Literal["minmax", "percentile", "entropy", "mse"] = "minmax"
    percentile: float = 99.999
    float_nodes: tuple[str, ...] = ()
    rounding: Literal["compensated", "nearest"] = "compensated"
    correct_bias: bool = True
    per_channel: bool = True
    weight_bits: int = 8
    quantise_output: bool = True

    def __post_init__(self) -> None:
        if not 50 < self.percentile <= 100:
            raise ValueError(f"percentile {self.percentile} is not above 50 and at most 100")
        if self.weight_bits not in (7, 8):
            raise ValueError(f"weight_bits is 7 or 8, not {self.weight_bits}")


def press(
    graph: onnx.ModelProto,
    calibration: Sequence[Feeds],
    config: Int8Config,
    activations: str,
    progress: Progress,
) -> Pressed:
    """Quantise a float graph.

    Raises:
        SourceError: no node of the graph can compute on integers.
        DataError: there is nothing to calibrate on, or it does not fit.
        UsageError: ``activations`` is neither ``uint8`` nor ``int8``.
    """
    model, plan = _planned(graph, config, activations)
    if not any(node.output[0] in plan.nodes and node.op_type in WEIGHTED for node in model.graph.node):
        raise SourceError(
            "no convolution or matrix product of this network can be quantised; use --method none"
        )
    if plan.standing.any:
        return quantise_rest(graph, calibration, config, activations, progress)
    return _pressed(model, plan, calibration, config, activations, progress)


def quantise_rest(
    graph: onnx.ModelProto,
    calibration: Sequence[Feeds],
    config: Int8Config,
    activations: str,
    progress: Progress,
    kept: Mapping[str, str] = NOTHING_KEPT,
) -> Pressed:
    """Quantise what a network with ternary layers still has in float; those layers keep their numbers.

    A float layer whose result a ternary one reads takes over that one's step and zero point where they hold
    the result. Products of two activations become integers only where both are already.

    Args:
        kept: why layers are not ternary, by their names in the torch network, for the facts.

    Returns:
        The graph (unchanged where nothing is left to do), and as facts, beside those of :func:`press`,
        ``precisions``: by precision, each layer and why it has it (see :mod:`edgepress.graph.precision`).

    Raises:
        DataError: there is nothing to calibrate on, or it does not fit.
        UsageError: ``activations`` is neither ``uint8`` nor ``int8``.
    """
    model, plan = _planned(graph, config, activations)
    pressed = _pressed(model, plan, calibration, config, activations, progress)
    done = infer_shapes(drop_saturated(pressed.graph))
    return Pressed({"main": Part(graph=done)}, {**pressed.facts, "precisions": precisions(done, kept)})


def _planned(graph: onnx.ModelProto, config: Int8Config, activations: str) -> tuple[onnx.ModelProto, Plan]:
    if activations not in ("uint8", "int8"):
        raise UsageError(f"activations are uint8 or int8, not {activations!r}")
    model = retyped(tidy(graph), activations)
    return model, make_plan(model, config.float_nodes, config.quantise_output, find_standing(model))


def _pressed(
    model: onnx.ModelProto,
    plan: Plan,
    calibration: Sequence[Feeds],
    config: Int8Config,
    activations: str,
    progress: Progress,
) -> Pressed:
    facts = {
        "activations": activations,
        "calibration_inputs": len(calibration),
        "integer_nodes": len(plan.nodes),
        "float_nodes": len(model.graph.node) - len(plan.nodes) - len(plan.folded),
    }
    if not plan.nodes:
        return Pressed({"main": Part(graph=model)}, facts)
    seen = collect(model, tuple(plan.tensors), calibration, config.calibration != "minmax", progress)
    ranges = _ranges(model, plan, seen, config, activations)
    weights, biases = _weights(model, plan, ranges, config)
    if config.rounding == "compensated" or config.correct_bias:
        _improve(model, plan, ranges, calibration, config, weights, biases, progress)
    return Pressed({"main": Part(graph=write_qdq(model, plan, ranges, weights, biases))}, facts)


def _ranges(
    model: onnx.ModelProto, plan: Plan, seen: dict[str, Statistics], config: Int8Config, activations: str
) -> dict[str, Quantisation]:
    index = Index.of(model.graph)
    chosen: dict[str, Quantisation] = {}
    for chief in plan.ranges:
        limit = plan.limits.get(chief)
        members = [name for name, lead in plan.tensors.items() if lead == chief]
        grids = [plan.standing.grids[name] for name in members if name in plan.standing.grids]
        extremes = min(seen[name].low for name in members), max(seen[name].high for name in members)
        found = fitting(grids, extremes, limit, _only_quantised(members, index))
        if found is not None:
            chosen[chief] = found
            continue
        spans = [choose_range(seen[name], config.calibration, config.percentile, limit) for name in members]
        low, high = min(span[0] for span in spans), max(span[1] for span in spans)
        chosen[chief] = quantisation(low, high, activations)
    return chosen


def _only_quantised(members: Sequence[str], index: Index) -> bool:
    """Whether all that reads these tensors quantises them, or makes another of them."""
    return all(
        reader.op_type == "QuantizeLinear" or reader.output[0] in members
        for name in members
        for reader in index.readers.get(name, [])
    )


def _weights(
    model: onnx.ModelProto, plan: Plan, ranges: dict[str, Quantisation], config: Int8Config
) -> tuple[dict[str, IntegerWeight], dict[str, np.ndarray]]:
    index = Index.of(model.graph)
    weights: dict[str, IntegerWeight] = {}
    biases: dict[str, np.ndarray] = {}
    for node in model.graph.node:
        key = node.output[0]
        if key not in plan.nodes or node.op_type not in WEIGHTED:
            continue
        weight = index.value(node.input[1])
        if weight is None:
            continue
        axis = channel_axis(node)
        bias = index.value(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        channels = weight.shape[axis]
        if bias is not None and node.op_type == "Gemm":
            bias = np.broadcast_to(bias, (channels,))
        # A grouped ConvTranspose has fewer weight channels than outputs: one scale has to serve them all.
        per_channel = config.per_channel and (bias is None or bias.size == channels)
        floor = smallest_scale(bias, ranges[plan.tensors[node.input[0]]].scale)
        if floor is not None and floor.size != channels:
            floor = np.full(channels, floor.max())
        scale = channel_scales(weight, axis, config.weight_bits, per_channel, floor)
        weights[key] = round_to_nearest(weight, scale, axis, config.weight_bits)
        if bias is not None:
            biases[key] = bias
    return weights, biases


def _improve(
    model: onnx.ModelProto,
    plan: Plan,
    ranges: dict[str, Quantisation],
    calibration: Sequence[Feeds],
    config: Int8Config,
    weights: dict[str, IntegerWeight],
    biases: dict[str, np.ndarray],
    progress: Progress,
) -> None:
    """Replace rounded weights by compensated ones, and correct the biases, in place."""
    index = Index.of(model.graph)
    nodes = [
        node for node in model.graph.node if node.output[0] in weights and node.op_type != "ConvTranspose"
    ]
    of_tensor = {name: ranges[chief] for name, chief in plan.tensors.items()}
    patches = gather(model, nodes, of_tensor, calibration, progress)
    for i, node in enumerate(nodes):
        key = node.output[0]
        weight = index.value(node.input[1])
        assert weight is not None
        if config.rounding == "compensated":
            weights[key], shift = compensated(
                weight, weights[key].scale, node, patches[key], config.weight_bits
            )
        else:
            shift = mean_shift(weight, weights[key], patches[key])
        if node.op_type != "MatMul":  # a MatMul has no bias to correct
            biases[key] = biases.get(key, np.zeros(1, np.float32)) + shift
        progress(i + 1, len(nodes), "rounding weights")


METHOD = Method("int8", "eight-bit integers, calibrated on examples", Int8Config, press, needs_data=True)
