"""Round weights one after another, each making up for the errors of those before it.

GPTQ (Frantar et al. 2023, arXiv:2210.17323), for convolutions as well: the error that matters is that of the
output, E‖(w − ŵ)·(x − mean)‖², because the bias takes up the mean. It needs the covariance of the patches
that a layer reads, which :func:`gather` samples from the calibration inputs. The patches are taken as the
integers of the tensor stand for them, so that the bias also takes up what rounding the activations moves on
average (Nagel et al. 2019, arXiv:1906.04721, section 4.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from edgepress.graph.index import Index, attribute
from edgepress.methods import Feeds
from edgepress.methods.int8.ranges import Quantisation
from edgepress.methods.int8.statistics import open_session, run
from edgepress.methods.int8.weights import IntegerWeight, channel_axis
from edgepress.progress import Progress

# Patches taken of one layer for one input; 32 inputs give more samples than layers commonly have columns.
PATCHES = 128
# The same for depthwise filters, which have no more than a few dozen weights each.
FEW_PATCHES = 48
_MANY_COLUMNS = 128
# More inputs than this bring nothing (measured: 32 and 96 pictures give the same agreement).
MOST_INPUTS = 32
# Share of the mean variance that is added to each, so that the inverse exists (GPTQ's own default).
DAMPING = 0.01


@dataclass
class Patches:
    """Sums over ``count`` patches of what a layer reads.

    Attributes:
        count: how many patches.
        exact: their sum in the float network, [G, K].
        total: their sum as integers stand for them, [G, K].
        origin: about their mean, [G, K]; products are taken from there, for float32 to hold small variances.
        products: the sum of their outer products as integers stand for them, from ``origin``, [G, K, K].
    """

    count: int
    exact: np.ndarray
    total: np.ndarray
    origin: np.ndarray
    products: np.ndarray

    def mean(self) -> np.ndarray:
        """Mean patch of each group as the integers stand for it, [G, K]."""
        return np.asarray(self.total / max(1, self.count))

    def exact_mean(self) -> np.ndarray:
        """Mean patch of each group in the float network, [G, K]."""
        return np.asarray(self.exact / max(1, self.count))

    def covariance(self) -> np.ndarray:
        """Covariance of each group's patches, [G, K, K]."""
        mean = self.mean() - self.origin
        return np.asarray(self.products / max(1, self.count) - mean[:, :, None] * mean[:, None, :])


def gather(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    ranges: Mapping[str, Quantisation],
    calibration: Sequence[Feeds],
    progress: Progress,
) -> dict[str, Patches]:
    """Moments of the patches that each node's weights meet, by the node's first output.

    The float graph runs; ``ranges`` has the integers of every tensor that the nodes read.
    """
    index = Index.of(model.graph)
    sources = tuple(dict.fromkeys(node.input[0] for node in nodes))
    session = open_session(model, sources)
    generator = np.random.default_rng(0)
    found: dict[str, Patches] = {}
    count = min(MOST_INPUTS, len(calibration))
    for i in range(count):
        feed = calibration[i * len(calibration) // count]
        values = run(session, sources, feed)
        for node in nodes:
            patches = _patches(node, values[node.input[0]], index, generator)
            groups, samples, columns = patches.shape
            rounded = through_integers(patches, ranges[node.input[0]])
            if node.output[0] not in found:
                shape = (groups, columns, columns)
                zeros = np.zeros(shape[:2])
                found[node.output[0]] = Patches(0, zeros, zeros.copy(), rounded.mean(axis=1), np.zeros(shape))
            moments = found[node.output[0]]
            moments.count += samples
            moments.exact += patches.sum(axis=1, dtype=np.float64)
            moments.total += rounded.sum(axis=1, dtype=np.float64)
            rounded -= moments.origin[:, None, :]
            moments.products += rounded.transpose(0, 2, 1) @ rounded
        progress(i + 1, count, "gathering what layers read")
    return found


def compensated(
    weight: np.ndarray, scale: np.ndarray, node: onnx.NodeProto, patches: Patches, bits: int
) -> tuple[IntegerWeight, np.ndarray]:
    """Integer weights, and what to add to the bias so that the mean output stays.

    Args:
        weight: the node's float weights.
        scale: of each output channel.
        node: a Conv, Gemm or MatMul.
        patches: moments of what it reads.
        bits: 8 or 7.
    """
    axis = channel_axis(node)
    top = 2 ** (bits - 1) - 1
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)
    groups = patches.total.shape[0]
    table = rows.reshape(groups, -1, rows.shape[1])
    step = scale.astype(np.float64).reshape(groups, -1)
    q = _solve(table, step, patches.covariance(), top)
    shift = _shift(table, q * step[:, :, None], patches)
    moved = np.moveaxis(weight, axis, 0).shape
    integers = np.moveaxis(q.reshape(moved), 0, axis)
    return IntegerWeight(np.ascontiguousarray(integers).astype(np.int8), scale, axis), shift.astype(
        np.float32
    )


def _solve(table: np.ndarray, step: np.ndarray, covariance: np.ndarray, top: int) -> np.ndarray:
    """GPTQ's recursion for [G, O, K] weights: columns of greatest variance first."""
    groups, _, columns = table.shape
    variance = np.einsum("gkk->gk", covariance)
    damp = DAMPING * variance.mean(axis=1) + 1e-12
    order = np.argsort(-variance, axis=1, kind="stable")
    back = np.argsort(order, axis=1, kind="stable")
    pick = np.arange(groups)[:, None]
    hessian = covariance[pick[:, :, None], order[:, :, None], order[:, None, :]]
    hessian[:, np.arange(columns), np.arange(columns)] += damp[:, None]
    upper = _factor_of_inverse(hessian)
    work = np.take_along_axis(table, order[:, None, :], axis=2)
    q = np.empty_like(work)
    block = 64
    for start in range(0, columns, block):
        end = min(start + block, columns)
        errors = np.empty((groups, work.shape[1], end - start))
        for j in range(start, end):
            value = work[:, :, j]
            q[:, :, j] = np.clip(np.rint(value / step), -top, top)
            error = (value - q[:, :, j] * step) / upper[:, j, j, None]
            work[:, :, j:end] -= error[:, :, None] * upper[:, j, None, j:end]
            errors[:, :, j - start] = error
        if end < columns:
            work[:, :, end:] -= errors @ upper[:, start:end, end:]
    return np.take_along_axis(q, back[:, None, :], axis=2)


def _factor_of_inverse(hessian: np.ndarray) -> np.ndarray:
    """U with UᵀU the inverse of each matrix, damped further where rounding left it without a factor."""
    size = hessian.shape[1]
    extra = np.zeros(len(hessian))
    for _ in range(8):
        damped = hessian + extra[:, None, None] * np.eye(size)
        try:
            inverse = np.linalg.inv(damped)
            lower = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2)
            return np.asarray(lower.transpose(0, 2, 1))
        except np.linalg.LinAlgError:
            extra = np.maximum(10 * extra, np.abs(np.einsum("gkk->gk", hessian)).max(axis=1) * 0.01 + 1e-12)
    # Without a factor each weight is rounded on its own.
    return np.broadcast_to(np.eye(size), hessian.shape)


def _patches(
    node: onnx.NodeProto, value: np.ndarray, index: Index, generator: np.random.Generator
) -> np.ndarray:
    """Sampled inputs of the node's weights, [G, samples, K], in the order of the weight's own axes."""
    if node.op_type != "Conv":
        flat = value.reshape(-1, value.shape[-1])
        return np.asarray(flat[_choose(len(flat), flat.shape[1], generator)][None])
    weight = index.shape(node.input[1])
    assert weight is not None
    kernel = weight[2:]
    if _pointwise(node, kernel):
        planes = value.reshape(value.shape[0], value.shape[1], -1)
        groups = attribute(node, "group", 1)
        total = planes.shape[0] * planes.shape[2]
        chosen = _choose(total, weight[1], generator)
        taken = planes[chosen // planes.shape[2], :, chosen % planes.shape[2]]
        return np.ascontiguousarray(taken.reshape(len(chosen), groups, -1).transpose(1, 0, 2))
    spatial = len(kernel)
    strides = attribute(node, "strides", [1] * spatial)
    dilations = attribute(node, "dilations", [1] * spatial)
    padded = np.pad(value, [(0, 0), (0, 0), *_padding(node, value.shape[2:], kernel, strides, dilations)])
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + spatial)))
    step = tuple(slice(None, None, s) for s in strides)
    inner = tuple(slice(None, None, d) for d in dilations)
    windows = windows[(slice(None), slice(None), *step, *inner)]
    # [N, C, positions…, kernel…] → sampled [S, C, kernel…]
    places = windows.shape[2 : 2 + spatial]
    total = value.shape[0] * int(np.prod(places))
    chosen = _choose(total, int(np.prod(weight[1:])), generator)
    where = np.unravel_index(chosen, (value.shape[0], *places))
    at: tuple[Any, ...] = (where[0], slice(None), *where[1:])
    taken = windows[at]
    groups = attribute(node, "group", 1)
    return np.ascontiguousarray(taken.reshape(len(chosen), groups, -1).transpose(1, 0, 2).astype(np.float32))


def _choose(total: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """Places to sample, one at random from each of so many equal stretches."""
    count = PATCHES if columns >= _MANY_COLUMNS else FEW_PATCHES
    if total <= count:
        return np.arange(total)
    starts = np.arange(count) * total // count
    widths = np.diff(np.append(starts, total))
    return starts + (generator.random(count) * widths).astype(np.int64)


def _pointwise(node: onnx.NodeProto, kernel: Sequence[int]) -> bool:
    plain = all(k == 1 for k in kernel) and all(s == 1 for s in attribute(node, "strides", [1]))
    return plain and not any(attribute(node, "pads", [0]))


def _padding(
    node: onnx.NodeProto,
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[tuple[int, int]]:
    mode = attribute(node, "auto_pad", b"NOTSET").decode()
    dims = len(kernel)
    if mode in ("NOTSET", "VALID"):
        pads = attribute(node, "pads", [0] * 2 * dims) if mode == "NOTSET" else [0] * 2 * dims
        return [(pads[i], pads[i + dims]) for i in range(dims)]
    result = []
    for extent, k, s, d in zip(extents, kernel, strides, dilations, strict=True):
        needed = max(0, (-(-extent // s) - 1) * s + (k - 1) * d + 1 - extent)
        small, large = needed // 2, needed - needed // 2
        result.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return result


def mean_shift(weight: np.ndarray, rounded: IntegerWeight, patches: Patches) -> np.ndarray:
    """What to add to the bias of a layer with rounded weights so that its mean output stays."""
    tables = []
    for values in (weight, rounded.dequantised()):
        rows = np.moveaxis(values, rounded.axis, 0).reshape(weight.shape[rounded.axis], -1).astype(np.float64)
        tables.append(rows.reshape(patches.total.shape[0], -1, rows.shape[1]))
    return _shift(tables[0], tables[1], patches)


def _shift(exact: np.ndarray, rounded: np.ndarray, patches: Patches) -> np.ndarray:
    wanted = np.einsum("gok,gk->go", exact, patches.exact_mean())
    given = np.einsum("gok,gk->go", rounded, patches.mean())
    return np.asarray((wanted - given).reshape(-1), np.float32)


def through_integers(values: np.ndarray, by: Quantisation) -> np.ndarray:
    """The values that the integers nearest to ``values`` stand for, in float32."""
    least, most = by.limits
    q = np.rint(values * np.float32(1 / by.scale))
    np.clip(q, least - by.zero_point, most - by.zero_point, out=q)
    return np.asarray(q * np.float32(by.scale), np.float32)
