"""Quantised regions found in a QDQ graph: ``DequantizeLinear → operator → QuantizeLinear`` in integers.

Each region becomes one operator of the ``edgepress`` domain that sums in int32 and requantises as
``saturate(rne(f32(sum + bias) · scale) + zero)``. A Relu or Clip before the QuantizeLinear becomes
bounds: quantising is monotone, so clipping before it and after it are the same. So is the largest of a
window, behind ternary weights; sums by these that nothing quantises become numbers:
``f32(sum + bias) · scale``. What is not covered stays dequantise → float → quantise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from edgepress.graph.shapes import along_last_axis
from edgepress.graph.ternary_storage import is_ternary
from edgepress.targets.compilers.tvm.graph_editor import DOMAIN, attributes
from edgepress.targets.compilers.tvm.graph_matcher import GraphMatcher
from edgepress.targets.compilers.tvm.grids import Grid
from edgepress.targets.compilers.tvm.origin import marks_of

_SAME_GRID = frozenset(
    ["MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Identity"]
)


@dataclass(frozen=True)
class Ending:
    """Where a region ends: the nodes it swallows, the quantised name, its grid and bounds, a pooling on the way."""

    nodes: tuple[onnx.NodeProto, ...]
    output: str
    grid: Grid
    low: int
    high: int
    pool: onnx.NodeProto | None = None


class IntegerRegions(GraphMatcher):
    """The pass itself."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__(model)
        self.swallowed: set[int] = set()

    def run(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model with its quantised regions in integers; unread dequantisations are dropped."""
        makers: dict[str, Callable[[onnx.NodeProto, Ending], bool]] = {
            "Conv": self._dot, "Gemm": self._dot, "MatMul": self._dot, "Add": self._add, "Mul": self._mul,
            "GlobalAveragePool": self._mean, "ReduceMean": self._mean,
        }  # fmt: skip
        for node in self.graph.node:
            if id(node) in self.swallowed:
                continue
            make = makers.get(node.op_type, self._same_grid if node.op_type in _SAME_GRID else None)
            ending = self._ending(node) if make is not None else None
            self.origin = (node, *ending.nodes) if ending is not None else (node,)
            taken = ending is not None and (ending.pool is None or make == self._dot)
            if make is not None and ending is not None and taken and make(node, ending):
                self.swallowed.update(id(each) for each in ending.nodes)
                continue
            if make == self._dot and ending is None and self._dot(node, None):
                continue
            if not self._folded(node):
                self.nodes.append(node)
        self.drop_unread()
        return self.finish(model)

    def source(self, name: str) -> tuple[str, Grid] | None:
        """The quantised tensor and grid behind a dequantised name, or None."""
        node = self.makers.get(name)
        if node is None or node.op_type != "DequantizeLinear" or node.input[0] in self.constants:
            return None
        grid = self.grid(node)
        return (node.input[0], grid) if grid else None

    def _ending(self, node: onnx.NodeProto) -> Ending | None:
        if len(node.output) != 1:
            return None
        low, high = -np.inf, np.inf
        name, nodes, pool = node.output[0], [], None
        while True:
            readers = self.readers.get(name, [])
            if len(readers) != 1 or name in self.results:
                return None
            after = readers[0]
            nodes.append(after)
            if after.op_type == "QuantizeLinear" and after.input[0] == name:
                grid = self.grid(after)
                if grid is None:
                    return None
                info = np.iinfo(grid.dtype)
                lowest = info.min if low == -np.inf else grid.quantize(low)
                highest = info.max if high == np.inf else grid.quantize(high)
                return Ending(tuple(nodes), after.output[0], grid, lowest, highest, pool)
            if after.op_type == "Relu":
                low, high = max(low, 0.0), max(high, 0.0)
            elif after.op_type == "Clip" and all(not n or n in self.constants for n in after.input[1:]):
                bounds = [float(self.constants[n].reshape(())) if n else None for n in after.input[1:]]
                bottom = bounds[0] if bounds and bounds[0] is not None else -np.inf
                top = bounds[1] if len(bounds) > 1 and bounds[1] is not None else np.inf
                low, high = min(max(low, bottom), top), min(max(high, bottom), top)
            elif after.op_type == "MaxPool" and len(after.output) == 1 and pool is None:
                pool = after
            else:
                return None
            name = after.output[0]

    def _dot(self, node: onnx.NodeProto, ending: Ending | None) -> bool:
        """Conv, Gemm and MatMul by constant int8 weights; to numbers, without an ending, where they are ternary."""
        source = self.source(node.input[0])
        holder = self.makers.get(node.input[1])
        if source is None or holder is None or holder.op_type != "DequantizeLinear":
            return False
        quantised, grid = source
        attrs = attributes(node)
        weight, scale = self.constants.get(holder.input[0]), self.constants.get(holder.input[1])
        if weight is None or scale is None or weight.dtype not in (np.int8, np.uint8):
            return False
        zero = (
            self.constants.get(holder.input[2])
            if len(holder.input) > 2 and holder.input[2]
            else np.zeros((), np.int8)
        )
        if zero is None or (zero.size > 1 and zero.any()):
            return False
        # A weight's own zero point is taken away here; it must leave the weight in eight bits.
        shifted = weight.astype(np.int32) - (int(zero.reshape(-1)[0]) if zero.size else 0)
        if shifted.min() < -128 or shifted.max() > 127:
            return False
        if (ending is None or ending.pool is not None) and not is_ternary(shifted):
            return False  # ONNX Runtime computes these in floating point
        conv = node.op_type == "Conv"
        if conv and weight.ndim not in (3, 4):
            return False
        if not conv and (weight.ndim != 2 or attrs.get("transA") or attrs.get("alpha", 1.0) != 1.0):
            return False
        if not conv and attrs.get("beta", 1.0) != 1.0:
            return False
        if attrs.get("transB"):
            shifted = shifted.T
        axis = attributes(holder).get("axis", 1) % weight.ndim
        outputs_axis = 0 if conv or attrs.get("transB") else 1
        outputs = weight.shape[outputs_axis]
        if scale.size > 1 and (axis != outputs_axis or scale.size != outputs):
            return False
        # In single precision, in ONNX Runtime's order: another order moves a tie to the other side.
        each = np.broadcast_to(scale.reshape(-1).astype(np.float32), (outputs,)) * np.float32(grid.scale)
        bias = self._bias(node.input[2] if len(node.input) > 2 else "", each)
        if bias is None:
            return False
        summed = shifted.reshape(outputs, -1).sum(1) if conv else shifted.sum(0)
        bias = bias - grid.zero * summed.astype(np.int64)
        if np.abs(bias).max(initial=0) > 2**31 - 1:
            return False
        inputs = [
            quantised,
            self.constant(np.ascontiguousarray(shifted.astype(np.int8)), holder.input[0]),
            self.constant(bias.astype(np.int32), node.output[0]),
            self.constant(each / np.float32(ending.grid.scale) if ending else each, node.output[0]),
        ]
        self.constants.update({name: self.added[name] for name in inputs[1:]})
        kept: dict[str, object] = (
            {k: attrs[k] for k in ("strides", "dilations", "pads", "group", "auto_pad") if k in attrs}
            if conv
            else {}
        )
        op, kind = "EpQConv" if conv else "EpQDense", np.dtype(grid.dtype)
        kept |= {"zero_in": grid.zero, "from": onnx.helper.np_dtype_to_tensor_dtype(kind)}
        if ending is None:
            self.node(op, inputs, node.output[0], DOMAIN, to=onnx.TensorProto.FLOAT, bounded=0, **kept)
            return True
        # The largest sum that activations of any value could give, in output steps.
        most = np.abs(shifted.reshape(outputs, -1) if conv else shifted.T).sum(1, dtype=np.int64) * 255
        steps = (most + np.abs(bias)) * (each / np.float32(ending.grid.scale)).astype(np.float64)
        self._emit(op, inputs, ending, bounded=int(steps.max(initial=0) < 2**30), **kept)
        return True

    def _bias(self, name: str, scale: np.ndarray) -> np.ndarray | None:
        if not name:
            return np.zeros(scale.shape, np.int64)
        value = self.constants.get(name)
        holder = self.makers.get(name)
        if value is None and holder is not None and holder.op_type == "DequantizeLinear":
            steps, grid = self.constants.get(holder.input[0]), self.constants.get(holder.input[1])
            if (
                steps is None
                or grid is None
                or (len(holder.input) > 2 and self.constants[holder.input[2]].any())
            ):
                return None
            value = steps.astype(np.float64) * grid.astype(np.float64)
        if value is None or not along_last_axis(value, scale.size, 2):
            return None
        return np.rint(
            np.broadcast_to(value.reshape(-1).astype(np.float64), scale.shape) / scale.astype(np.float64)
        ).astype(np.int64)

    def _emit(self, op: str, inputs: list[str], ending: Ending, **attrs: object) -> None:
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(ending.grid.dtype))
        self.node(
            op,
            inputs,
            ending.output if ending.pool is None else ending.pool.input[0],
            DOMAIN,
            zero_out=ending.grid.zero,
            low=ending.low,
            high=ending.high,
            to=kind,
            **attrs,
        )
        if ending.pool is not None:
            self._moved(ending.pool, ending.pool.input[0], ending.output)

    def _add(self, node: onnx.NodeProto, ending: Ending) -> bool:
        a, b = self.source(node.input[0]), self.source(node.input[1])
        if a is None or b is None:
            return False
        factors = [np.float32(grid.scale) / np.float32(ending.grid.scale) for _, grid in (a, b)]
        self._emit(
            "EpQAdd", [a[0], b[0]], ending, zeros=[a[1].zero, b[1].zero], scales=[float(f) for f in factors]
        )
        return True

    def _mul(self, node: onnx.NodeProto, ending: Ending) -> bool:
        a, b = self.source(node.input[0]), self.source(node.input[1])
        if a is None or b is None:
            return False
        factor = np.float32(a[1].scale) * np.float32(b[1].scale) / np.float32(ending.grid.scale)
        self._emit("EpQMul", [a[0], b[0]], ending, zeros=[a[1].zero, b[1].zero], scales=[float(factor)])
        return True

    def _mean(self, node: onnx.NodeProto, ending: Ending) -> bool:
        source = self.source(node.input[0])
        shape = self.shapes.get(node.input[0])
        if source is None or shape is None or len(shape) not in (3, 4):
            return False
        keep = 1
        if node.op_type == "ReduceMean":
            attrs = attributes(node)
            axes = attrs.get("axes")
            if axes is None and len(node.input) > 1 and node.input[1] in self.constants:
                axes = self.constants[node.input[1]].tolist()
            if axes is None or sorted(a % len(shape) for a in axes) != list(range(2, len(shape))):
                return False
            keep = int(attrs.get("keepdims", 1))
        places = int(np.prod(shape[2:]))
        factor = np.float32(source[1].scale) / (np.float32(ending.grid.scale) * np.float32(places))
        self._emit(
            "EpQMean",
            [source[0]],
            ending,
            zeros=[source[1].zero * places],
            scales=[float(factor)],
            keepdims=keep,
        )
        return True

    def _same_grid(self, node: onnx.NodeProto, ending: Ending) -> bool:
        """Operators that only move or choose values, between equal grids."""
        source = self.source(node.input[0])
        info = np.iinfo(ending.grid.dtype)
        if source is None or source[1] != ending.grid or (ending.low, ending.high) != (info.min, info.max):
            return False
        self._moved(node, source[0], ending.output)
        return True

    def _moved(self, node: onnx.NodeProto, source: str, output: str) -> None:
        """A node that only moves or chooses values, between quantised tensors."""
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        moved.input[0], moved.output[0] = source, output
        moved.doc_string = marks_of(self.origin)
        self.nodes.append(moved)

    def _folded(self, node: onnx.NodeProto) -> bool:
        """Dequantised constants that stay in float are worked out now."""
        if node.op_type != "DequantizeLinear" or any(n and n not in self.constants for n in node.input):
            return False
        value, scale = self.constants[node.input[0]], self.constants[node.input[1]]
        zero = (
            self.constants[node.input[2]]
            if len(node.input) > 2 and node.input[2]
            else np.zeros((), value.dtype)
        )
        if scale.size > 1 and (scale.ndim != 1 or attributes(node).get("block_size")):
            return False
        along = [1] * value.ndim
        if scale.size > 1:
            along[attributes(node).get("axis", 1) % value.ndim] = -1
            scale, zero = scale.reshape(along), (zero.reshape(along) if zero.size > 1 else zero)
        real = (value.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale.reshape(
            scale.shape or ()
        )
        self.added[node.output[0]] = real.astype(np.float32).reshape(value.shape)
        return True


def integer_regions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite the quantised regions of a QDQ graph to integer operators; other graphs come back as they are.

    Args:
        model: with shapes inferred and constants as initializers.
    """
    if not {node.op_type for node in model.graph.node} & {"QuantizeLinear", "DequantizeLinear"}:
        return model
    return IntegerRegions(model).run(model)
