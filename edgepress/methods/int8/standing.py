"""What of a graph is on integers already: products of ternary layers and the grids of their activations.

Such regions keep their numbers. A float layer whose result one of them reads takes over the region's step and
zero point, so that the result is rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from edgepress.graph.index import Index, copy_of, put_constant
from edgepress.methods.int8.ranges import Quantisation

_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_ROWS = frozenset({"MatMulInteger", "ConvInteger"})
_HOLDS = 0.9  # of the span that calibration saw: the rest are rare values, which the region clips too


@dataclass(frozen=True)
class StandingGrid:
    """A tensor's integers that the graph has already.

    Attributes:
        grid: their step and zero point.
        quantised: what QuantizeLinear makes of the tensor.
        dequantised: what DequantizeLinear makes of that.
    """

    grid: Quantisation
    quantised: str
    dequantised: str


@dataclass(frozen=True)
class Standing:
    """The integer regions of a graph.

    Attributes:
        products: first outputs of products whose operands are dequantised.
        dynamic: whether some layers scale each row as it comes.
        grids: the coarsest grid of each float tensor that is quantised.
    """

    products: frozenset[str]
    dynamic: bool
    grids: Mapping[str, StandingGrid]

    @property
    def any(self) -> bool:
        """Whether anything is on integers already."""
        return bool(self.products) or self.dynamic


def find_standing(model: onnx.ModelProto) -> Standing:
    """The integer regions of a tidy graph; of a float graph, none."""
    index = Index.of(model.graph)
    products: set[str] = set()
    grids: dict[str, StandingGrid] = {}
    for node in model.graph.node:
        if node.op_type in _PRODUCTS and any(_dequantised(name, index) for name in node.input[:2]):
            products.add(node.output[0])
        if node.op_type != "QuantizeLinear" or node.input[0] in index.constants:
            continue
        grid = _grid(node, index)
        readers = [each for each in index.readers.get(node.output[0], []) if _grid(each, index) == grid]
        reader = next((each for each in readers if each.op_type == "DequantizeLinear"), None)
        if grid is None or reader is None:
            continue
        known = grids.get(node.input[0])
        if known is None or known.grid.scale < grid.scale:
            grids[node.input[0]] = StandingGrid(grid, node.output[0], reader.output[0])
    return Standing(frozenset(products), any(node.op_type in _ROWS for node in model.graph.node), grids)


def retyped(model: onnx.ModelProto, activations: str) -> onnx.ModelProto:
    """The graph with its unsigned grids signed, or the other way round; they mean the same numbers.

    Integer operators of runtimes want one type on both sides.
    """
    new = copy_of(model)
    index = Index.of(new.graph)
    changed = set()
    for node in new.graph.node:
        grid = _grid(node, index) if node.op_type == "QuantizeLinear" else None
        if grid is None or grid.dtype == activations or node.input[0] in index.constants:
            continue
        readers = index.readers.get(node.output[0], [])
        outside = node.output[0] in index.outputs or any(
            each.op_type != "DequantizeLinear" or _grid(each, index) != grid for each in readers
        )
        if outside:
            continue
        zero = grid.zero_point + (128 if activations == "uint8" else -128)
        name = f"{activations}.zero_point.{zero}"
        put_constant(new.graph, name, np.array(zero, activations))
        for each in (node, *readers):
            each.input[2] = name
        changed.add(node.output[0])
    for value in new.graph.value_info:
        if value.name in changed:
            value.type.tensor_type.elem_type = getattr(onnx.TensorProto, activations.upper())
    return new


def fitting(
    grids: list[StandingGrid], span: tuple[float, float], limit: tuple[float, float] | None, bound: bool
) -> Quantisation | None:
    """The grid that tensors sharing a range take over from the regions that read them, or None.

    Args:
        grids: of those tensors.
        span: the least and the greatest value that calibration saw.
        limit: what a folded activation allows; saturation has to stand in for it.
        bound: whether nobody but the regions reads them, so that nothing is lost.
    """
    if not grids:
        return None
    grid = max(grids, key=lambda each: each.grid.scale).grid
    least, greatest = ((code - grid.zero_point) * grid.scale for code in grid.limits)
    if limit is not None and (least < limit[0] or greatest > limit[1] + grid.scale / 2):
        return None
    held = min(greatest, span[1]) - max(least, span[0])
    return grid if bound or held >= _HOLDS * (span[1] - span[0]) else None


def _dequantised(name: str, index: Index) -> bool:
    maker = index.producer.get(name)
    return maker is not None and maker.op_type == "DequantizeLinear"


def _grid(node: onnx.NodeProto, index: Index) -> Quantisation | None:
    """The grid of a QuantizeLinear or DequantizeLinear of one constant step and zero point."""
    if len(node.input) < 3:
        return None
    scale, zero = index.value(node.input[1]), index.value(node.input[2])
    if scale is None or zero is None or scale.size != 1 or zero.size != 1:
        return None
    if str(zero.dtype) not in ("uint8", "int8") or scale.dtype != np.float32:
        return None
    return Quantisation(float(scale.reshape(())), int(zero.reshape(())), str(zero.dtype))
