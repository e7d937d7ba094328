"""Attentions found in a graph: two matrix products around a Softmax become one operator.

Heads that are split and joined by Reshape and Transpose are read and written in place, and a cache that is
joined to new rows by Concat is read as it lies. A quantised attention keeps every step that its graph has.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from edgepress.targets.compilers.tvm.attention_form import Attention, Operand
from edgepress.targets.compilers.tvm.graph_editor import DOMAIN, attributes
from edgepress.targets.compilers.tvm.graph_matcher import GraphMatcher
from edgepress.targets.compilers.tvm.grids import Grid
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.views import View, Views, is_view

FEW = 4  # queries below which keys are read as they lie instead of being packed first
_WIDEST = 256  # numbers of a row up to which its registers are unrolled
_EXACT = 1 << 24  # whole numbers up to which fp32 is exact


class Attentions(GraphMatcher):
    """The pass itself."""

    def __init__(self, model: onnx.ModelProto, machine: Machine) -> None:
        super().__init__(model)
        self.machine = machine
        self.views = Views(self.makers, self.shapes)
        self.dtypes = {
            info.name: str(onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type))
            for info in (*self.graph.value_info, *self.graph.input, *self.graph.output)
        }

    def run(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model with its attentions as ``EpAttention``."""
        last: dict[str, tuple[Attention, list[str]]] = {}
        for node in self.graph.node:
            found = self._found(node) if node.op_type == "Softmax" else None
            if found is not None:
                last[found[2]] = found[:2]
        for node in self.graph.node:
            made = last.get(node.output[0]) if node.output else None
            if made is None:
                self.nodes.append(node)
                continue
            form, inputs = made
            kind = form.grids[-1].dtype if form.grids else "float32"
            shape = self.shapes[node.output[0]]
            self.origin = self.between(inputs, node.output[0])
            self.node("EpAttention", inputs, node.output[0], DOMAIN, form=form.text(), shape=shape, kind=kind)
        self.drop_unread()
        return self.finish(model)

    def _found(self, softmax: onnx.NodeProto) -> tuple[Attention, list[str], str] | None:
        """The attention around a Softmax: its form, its inputs, and the tensor that it makes."""
        rank = len(self.shapes.get(softmax.input[0], ()))
        if rank < 2 or int(attributes(softmax).get("axis", -1)) % rank != rank - 1:
            return None
        above = self._scores(softmax.input[0])
        below = self._weighted(softmax.output[0])
        if above is None or below is None:
            return None
        (scores, factor, score), (product, name, weight) = above, below
        if (score is None) != (weight is None) or product.input[0] != name:
            return None
        end, result, out_grid = self._ending(product.output[0], quantised=score is not None)
        if end is None:
            return None
        inputs: list[str] = []
        q, grid_q = self._operand(scores.input[0], -2, inputs)
        k, grid_k = self._operand(scores.input[1], -1, inputs)
        v, grid_v = self._operand(product.input[1], -2, inputs)
        grids = [grid_q, grid_k, score, weight, grid_v, out_grid]
        shape = self.shapes.get(scores.output[0])
        if not q or not k or not v or len(q) != 1 or shape is None or end.strides[-1] not in (0, 1):
            return None
        if any(grid is None for grid in grids) and any(grid is not None for grid in grids):
            return None
        depth, width = self.shapes[scores.input[0]][-1], end.shape[-1]
        if end.strides[-1] == 0 and width > 1:
            return None
        if any(len(self.shapes.get(name, ())) != rank for name in (*scores.input, *product.input)):
            return None
        if any(self.shapes[name][:-2] != shape[:-2] for name in (*scores.input, product.input[1])):
            return None
        kind = out_grid.dtype if out_grid else "float32"
        out = Operand(-1, kind, end.base, end.strides[:-2], end.strides[-2], end.shape[-2])
        form = Attention(
            shape[:-2], depth, width, factor, q[0], tuple(k), tuple(v), out, tuple(g for g in grids if g)
        )
        return (form, inputs, result) if _suits(form, self.machine) else None

    def _scores(self, name: str) -> tuple[onnx.NodeProto, float, Grid | None] | None:
        """From the softmax upwards: the product of queries and keys, the factor, the grid of the scores."""
        factor, exact = 1.0, True
        grid: Grid | None = None
        while True:
            node = self.makers.get(name)
            if node is None or node.domain or len(self.readers[name]) != 1 or name in self.results:
                return None
            if node.op_type == "MatMul":
                return node, factor, grid
            if node.op_type in ("Mul", "Div") and grid is None:
                flip = node.op_type == "Mul" and node.input[0] in self.constants
                name, other = (node.input[1], node.input[0]) if flip else (node.input[0], node.input[1])
                value = self.constants.get(other)
                if value is None or value.size != 1 or value.dtype != np.float32 or factor != 1.0:
                    return None
                number = value.reshape(())
                factor = float(number if node.op_type == "Mul" else np.float32(1) / number)
                # Only by a power of two is the product with 1 / number the quotient.
                exact = node.op_type == "Mul" or float(np.frexp(number)[0]) == 0.5
            elif node.op_type == "DequantizeLinear" and grid is None and exact:
                before = self.only_made(node.input[0], "QuantizeLinear")
                grid = self.grid(node)
                if before is None or grid is None or grid != self.grid(before):
                    return None
                name = before.input[0]
            else:
                return None

    def _weighted(self, name: str) -> tuple[onnx.NodeProto, str, Grid | None] | None:
        """From the softmax downwards: the product with the values, what it reads, the grid of the weights."""
        product = self.only_reader(name, "MatMul")
        if product is not None:
            return product, name, None
        quantise = self.only_reader(name, "QuantizeLinear")
        restore = self.only_reader(quantise.output[0], "DequantizeLinear") if quantise is not None else None
        product = self.only_reader(restore.output[0], "MatMul") if restore is not None else None
        if quantise is None or restore is None or product is None:
            return None
        grid = self.grid(quantise)
        if grid is None or grid != self.grid(restore):
            return None
        return product, restore.output[0], grid

    def _ending(self, name: str, quantised: bool) -> tuple[View | None, str, Grid | None]:
        """Where the result is written: past the QuantizeLinear and every view that alone reads it."""
        grid = None
        if quantised:
            node = self.only_reader(name, "QuantizeLinear")
            grid = self.grid(node) if node is not None else None
            if node is None or grid is None:
                return None, name, None
            name = node.output[0]
        shape = self.shapes.get(name)
        if shape is None:
            return None, name, None
        nodes: list[onnx.NodeProto] = []
        best = (self.views.written(name, []), name, grid)
        at = name
        while at not in self.results and len(self.readers.get(at, [])) == 1 and is_view(self.readers[at][0]):
            nodes.append(self.readers[at][0])
            at = nodes[-1].output[0]
            if at not in self.shapes:
                break
            view = self.views.written(name, nodes)
            if view is not None and view.strides[-1] in (0, 1):
                best = (view, at, grid)
        return best

    def _operand(self, name: str, axis: int, inputs: list[str]) -> tuple[list[Operand], Grid | None]:
        """A factor of a product: its parts along the tokens' ``axis``, and its grid."""
        grid: Grid | None = None
        node = self.makers.get(name)
        if node is not None and node.op_type == "DequantizeLinear":
            grid = self.grid(node)
            before = self.makers.get(node.input[0])
            if grid is None:
                return [], None
            name = node.input[0]
            if before is not None and before.op_type == "QuantizeLinear" and self.grid(before) == grid:
                parts = self.views.parts(before.input[0], axis)  # quantised as they are read, or already
                if parts is not None:
                    return self._placed([self._unquantised(part, grid) for part in parts], axis, inputs), grid
        views = self.views.parts(name, axis)
        return (self._placed(views, axis, inputs) if views else []), grid

    def _unquantised(self, view: View, grid: Grid) -> View:
        """A view of what a DequantizeLinear of the same grid reads, where there is one."""
        node = self.makers.get(view.source)
        if node is None or node.op_type != "DequantizeLinear" or self.grid(node) != grid:
            return view
        return replace(view, source=node.input[0])

    def _placed(self, views: list[View], axis: int, inputs: list[str]) -> list[Operand]:
        placed = []
        for view in views:
            along = -1 if axis == -2 else -2
            if view.strides[along] != 1 and view.shape[along] > 1:
                return []
            if view.source in self.constants or len(view.shape) < 2:
                return []
            dtype = self.dtypes.get(view.source, "")
            if dtype not in ("float32", "int8", "uint8"):
                return []
            if view.source not in inputs:
                inputs.append(view.source)
            placed.append(
                Operand(inputs.index(view.source), dtype, view.base, view.strides[:-2], view.strides[axis],
                        view.shape[axis])
            )  # fmt: skip
        return placed


def _suits(form: Attention, machine: Machine) -> bool:
    """Whether a kernel takes the attention on this machine."""
    if machine.lanes == 1 or form.factor <= 0 or max(form.depth, form.width) > _WIDEST:
        return False
    if form.queries >= FEW and len(form.k) > 1:
        return False
    if not form.grids:
        return all(part.dtype == "float32" for part in (form.q, *form.k, *form.v))
    q, k, _, weight, v, _ = form.grids
    for operands, grid in (((form.q,), q), (form.k, k), (form.v, v)):
        if any(part.dtype not in ("float32", grid.dtype) for part in operands):
            return False
    sums = form.depth * max(abs(q.low), q.high) * max(abs(k.low), k.high)
    # Weights sum up to 1, rounded; each is at most half a step more.
    weights = (1 / weight.scale + form.keys) * max(abs(v.low), v.high)
    if sums >= _EXACT or weights >= _EXACT or weight.low != 0:
        return False
    if form.queries < FEW:
        return True
    plain = all(part.dtype != "float32" for part in (form.q, *form.k, *form.v))
    return plain and machine.dot != "" and form.depth % 4 == 0 and len({q.dtype, k.dtype, v.dtype}) == 1


def attentions(model: onnx.ModelProto, machine: Machine) -> onnx.ModelProto:
    """Rewrite attentions to one operator each; other graphs come back as they are.

    Args:
        model: with shapes inferred and constants as initializers, its integer regions found.
        machine: the target, which decides what has a kernel.
    """
    if all(node.op_type != "Softmax" for node in model.graph.node):
        return model
    return Attentions(model, machine).run(model)
