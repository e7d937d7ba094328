"""Give the channels of a tensor like ranges, so that one scale serves all of them.

Scaling channel c of a tensor by s_c and the weights that read it by 1/s_c changes nothing in float
(cross-layer equalisation, Nagel et al. 2019, arXiv:1906.04721). Per-channel weight scales make the writer's side
free; on the reader's side small weights lose resolution, which the exponent balances (Xiao et al. 2023,
arXiv:2211.10438). Behind a Clip a channel may only grow, and only while it stays below the limit on every
calibration input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from edgepress.graph.index import Index, attribute, copy_of, put_constant
from edgepress.methods.int8.statistics import Statistics

# A channel grows to at most this share of a Clip's limit, for inputs that calibration has not seen.
_HEADROOM = 0.75
_LARGEST = 16.0
_PASSING = frozenset({"Add", "Clip", "Relu", "GlobalAveragePool", "AveragePool", "MaxPool", "GlobalMaxPool"})


@dataclass
class _Family:
    """Tensors whose channels must be scaled alike, who writes them and who reads them."""

    tensors: set[str]
    writers: list[onnx.NodeProto]
    readers: list[onnx.NodeProto]
    limit: float
    clipped: set[str]


def equalise(
    model: onnx.ModelProto, seen: Mapping[str, Statistics], strength: float
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The same network with evener channels.

    Args:
        model: a tidy float graph.
        seen: extremes by channel of its tensors.
        strength: 0 leaves all as it is, 1 evens ranges out fully; a reader that is depthwise always takes 1.

    Returns:
        The graph, and the factor of each channel by tensor.
    """
    new = copy_of(model)
    index = Index.of(new.graph)
    factors: dict[str, np.ndarray] = {}
    changed: dict[str, np.ndarray] = {}
    for family in _families(new.graph, index):
        factor = _factor(family, index, seen, strength)
        if factor is None:
            continue
        for node in family.writers:
            for position in (1, 2):
                if len(node.input) > position and node.input[position]:
                    name = node.input[position]
                    value = changed.get(name, index.value(name))
                    assert value is not None
                    changed[name] = value * factor.reshape([-1] + [1] * (value.ndim - 1))
        for node in family.readers:
            name = node.input[1]
            value = changed.get(name, index.value(name))
            assert value is not None
            changed[name] = value / _for_reader(node, factor, value)
        factors.update(dict.fromkeys(family.tensors, factor))
    for name, value in changed.items():
        put_constant(new.graph, name, value.astype(np.float32))
    return new, factors


def scaled(seen: Mapping[str, Statistics], factors: Mapping[str, np.ndarray]) -> dict[str, Statistics]:
    """The extremes of the equalised network's tensors, without running it (histograms are left empty)."""
    result: dict[str, Statistics] = {}
    for name, item in seen.items():
        factor = factors.get(name)
        if factor is None:
            result[name] = item
            continue
        low, high = item.channel_low * factor, item.channel_high * factor
        result[name] = Statistics(float(low.min()), float(high.max()), low, high, np.zeros(0))
    return result


def _families(graph: onnx.GraphProto, index: Index) -> list[_Family]:
    parent: dict[str, str] = {}

    def chief(name: str) -> str:
        while parent.get(name, name) != name:
            name = parent[name]
        return name

    for node in graph.node:
        if _passes(node, index):
            for name in _carried(node):
                parent.setdefault(name, name)
                parent[chief(name)] = chief(node.output[0])
    groups: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.output:
            groups.setdefault(chief(name), set()).add(name)
    families = []
    for tensors in groups.values():
        family = _complete(tensors, index)
        if family is not None:
            families.append(family)
    return families


def _passes(node: onnx.NodeProto, index: Index) -> bool:
    if node.op_type in _PASSING:
        return not any(name in index.constants for name in _carried(node))
    if node.op_type in ("Reshape", "Flatten"):
        before, after = index.shape(node.input[0]), index.shape(node.output[0])
        if before is None or after is None or len(before) < 3 or len(after) != 2:
            return False
        return before[:2] == after and all(extent == 1 for extent in before[2:])
    return False


def _carried(node: onnx.NodeProto) -> list[str]:
    return list(node.input) if node.op_type == "Add" else [node.input[0]]


def _complete(tensors: set[str], index: Index) -> _Family | None:
    """The family of these tensors, or None where something other than a convolution writes or reads them."""
    family = _Family(tensors, [], [], float("inf"), set())
    shapes = {(index.shape(name) or (0, 0))[1:2] for name in tensors}
    if len(shapes) != 1 or tensors & set(index.outputs):
        return None
    for name in sorted(tensors):
        maker = index.producer.get(name)
        if maker is None:
            return None
        if maker.op_type == "Clip":
            limit = index.value(maker.input[2]) if len(maker.input) > 2 and maker.input[2] else None
            floor = index.value(maker.input[1]) if len(maker.input) > 1 and maker.input[1] else None
            if (len(maker.input) > 2 and maker.input[2] and limit is None) or floor is None or float(floor) != 0.0:
                return None
            if limit is not None:
                family.limit = min(family.limit, float(limit))
                family.clipped.add(name)
        elif not _passes(maker, index):
            if maker.op_type not in ("Conv", "Gemm") or not _own_weights(maker, index):
                return None
            if maker.op_type == "Gemm" and not attribute(maker, "transB", 0):
                return None
            family.writers.append(maker)
        for reader in index.readers.get(name, []):
            if reader.output[0] in tensors:
                continue
            if reader.op_type not in ("Conv", "Gemm") or not _own_weights(reader, index):
                return None
            if reader.input[0] != name or name in reader.input[1:]:
                return None
            family.readers.append(reader)
    return family if family.writers and family.readers else None


def _own_weights(node: onnx.NodeProto, index: Index) -> bool:
    names = [name for name in node.input[1:] if name]
    return all(name in index.constants and len(index.readers[name]) == 1 for name in names)


def _depthwise(node: onnx.NodeProto, index: Index) -> bool:
    shape = index.shape(node.input[1]) or (0, 0)
    return node.op_type == "Conv" and shape[1] == 1 and attribute(node, "group", 1) > 1


def _for_reader(node: onnx.NodeProto, factor: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The factor, shaped to divide the reader's weights."""
    if node.op_type == "Gemm":
        return factor[None, :] if attribute(node, "transB", 0) else factor[:, None]
    groups = attribute(node, "group", 1)
    per_group = factor.reshape(groups, -1)
    outputs = np.repeat(per_group, weight.shape[0] // groups, axis=0)
    return np.asarray(outputs.reshape(weight.shape[:2] + (1,) * (weight.ndim - 2)))


def _factor(
    family: _Family, index: Index, seen: Mapping[str, Statistics], strength: float
) -> np.ndarray | None:
    known = [seen[name] for name in sorted(family.tensors) if name in seen]
    if not known:
        return None
    reach = np.max([np.maximum(item.channel_high, -item.channel_low) for item in known], axis=0)
    if reach.size != (index.shape(sorted(family.tensors)[0]) or (0, 0))[1]:
        return None
    if all(_depthwise(reader, index) for reader in family.readers):
        strength = 1.0
    if family.clipped:
        top = np.max([seen[name].channel_high for name in sorted(family.clipped) if name in seen], axis=0)
        room = _HEADROOM * family.limit / np.maximum(top, 1e-6)
        factor = np.maximum(1.0, np.minimum(room, _LARGEST)) ** strength
    else:
        factor = np.clip(reach.max() / np.maximum(reach, 1e-6), 1.0, _LARGEST) ** strength
    # Powers of two would be no exacter: weights are rounded afterwards in any case.
    return np.asarray(factor, np.float64)

