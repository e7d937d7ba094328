"""Dense layers of dynamic rows found in a graph: rows made codes by one operator, products by another.

The pattern is that of ternary layers (`Abs → ReduceMax → Clip → Reciprocal → Mul`, `Mul → Round → Clip →
Add → Cast → MatMulInteger → Cast → Mul → Add`): each row by its own scale, weights of whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edgepress.errors import UnsupportedOpError
from edgepress.graph.shapes import along_last_axis
from edgepress.graph.ternary_storage import is_ternary
from edgepress.targets.compilers.tvm import packing8
from edgepress.targets.compilers.tvm.dynamic_form import RowCodes, ternary_packing
from edgepress.targets.compilers.tvm.graph_editor import DOMAIN, attributes
from edgepress.targets.compilers.tvm.graph_matcher import GraphMatcher
from edgepress.targets.compilers.tvm.importer import MEND
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.packing8 import INPUTS

_ZERO = 128  # of the graph's unsigned codes
_MOST_INPUTS = 1 << 18  # sums of fields that are shifted at the end stay inside 31 bits


@dataclass(frozen=True)
class _Rows:
    """Where a row's codes come from: the tensor, its scale's name and how it is worked out."""

    source: str
    scale: str
    levels: float
    least: float
    reciprocal: bool


@dataclass(frozen=True)
class _Layer:
    """One layer: its weight ``[outputs, inputs]`` by name, the rows and their shape, steps and bias, the result."""

    weight: np.ndarray
    rows: _Rows
    shape: tuple[int, ...]
    name: str
    shares: list[str]
    result: str


class DynamicRows(GraphMatcher):
    """The pass itself."""

    def __init__(self, model: onnx.ModelProto, machine: Machine) -> None:
        super().__init__(model)
        self.machine = machine
        products = (node for node in self.graph.node if node.op_type == "MatMulInteger")
        weights = (self.constants.get(node.input[1]) for node in products)
        self.ternary = sum(weight.size for weight in weights if weight is not None and is_ternary(weight))
        self.codes: dict[tuple[_Rows, int, int, int], list[str]] = {}

    def run(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model with its dense layers of dynamic rows as ``EpRowCodes`` and a product.

        Raises:
            UnsupportedOpError: rows are quantised in a way that no kernel knows.
        """
        last: dict[str, onnx.NodeProto] = {}
        for node in self.graph.node:
            found = self._ending(node) if node.op_type == "MatMulInteger" and not node.domain else None
            if found is not None:
                last[found] = node
        for node in self.graph.node:
            product = last.get(node.output[0]) if node.output else None
            if product is None or not self._made(product, node.output[0]):
                self.nodes.append(node)
        self.drop_unread()
        for node in self.nodes:
            self._check(node)
        return self.finish(model)

    def _check(self, node: onnx.NodeProto) -> None:
        """A product of codes that were worked out step by step has a kernel here or none."""
        if node.op_type == "MatMulInteger" and self._maker(node.input[0], "Cast") is not None:
            where = (
                f"node {node.name or node.output[0]!r}, whose rows are quantised in a way that has no kernel"
            )
            raise UnsupportedOpError(node.op_type, where, MEND)

    def _ending(self, product: onnx.NodeProto) -> str | None:
        """What the sums become once they are scaled and biased, or None where they are something else."""
        cast = self.only_reader(product.output[0], "Cast")
        scaled = self.only_reader(cast.output[0], "Mul") if cast is not None else None
        if cast is None or scaled is None or attributes(cast).get("to") != onnx.TensorProto.FLOAT:
            return None
        biased = self.only_reader(scaled.output[0], "Add")
        if biased is not None and self._other_constant(biased, scaled.output[0]) is not None:
            return str(biased.output[0])
        return str(scaled.output[0])

    def _made(self, product: onnx.NodeProto, result: str) -> bool:
        weight = self.constants.get(product.input[1])
        zeros = [self._number(name) for name in product.input[2:]]
        if (
            weight is None
            or weight.dtype != np.int8
            or weight.ndim != 2
            or not weight.size
            or zeros not in ([_ZERO], [_ZERO, 0])
        ):
            return False
        rows = self._rows(product.input[0])
        if rows is None:
            return False
        cast = self.readers[product.output[0]][0]
        scaled = self.readers[cast.output[0]][0]
        step = self._step(scaled, cast.output[0], rows.scale)
        shape = self.shapes.get(rows.source)
        inputs, outputs = weight.shape
        if not shape or shape[-1] != inputs or inputs > _MOST_INPUTS:
            return False
        if step is None or not along_last_axis(step, outputs, len(shape)):
            return False
        bias = np.zeros(1, np.float32)
        if result != scaled.output[0]:
            value = self._other_constant(self.makers[result], scaled.output[0])
            if value is None or value.dtype != np.float32:
                return False
            bias = value
        self.origin = self.between([rows.source], result)
        flat = step.reshape(-1)
        step = flat[:1] if (flat == flat[0]).all() else flat
        shares = [self.constant(np.asarray(each.reshape(-1), np.float32), result) for each in (step, bias)]
        layer = _Layer(np.ascontiguousarray(weight.T), rows, shape, product.input[1], shares, result)
        if is_ternary(weight):
            self._ternary(layer)
        else:
            self._eight(layer)
        return True

    def _ternary(self, layer: _Layer) -> None:
        outputs, inputs = layer.weight.shape
        count = int(np.prod(layer.shape[:-1], dtype=np.int64))
        packing = ternary_packing(self.machine, outputs, inputs, count, self.ternary)
        padded = -(-inputs // packing.run) * packing.run
        together = packing.run if packing.turns else padded
        codes = self._codes(layer.rows, layer.shape, padded, together, 0)
        packed = self.constant(packing.pack(layer.weight), layer.name)
        self.node(
            "EpTernaryDense", [*codes, packed, *layer.shares], layer.result, DOMAIN,
            channels=outputs, terms=inputs, digits=packing.digits, together=together,
        )  # fmt: skip

    def _eight(self, layer: _Layer) -> None:
        """Weights of eight bits, by the kernels of static ones."""
        weight = layer.weight
        packing = packing8.packing_of(self.machine, weight, 2 * self.machine.lanes)
        offset = packing.offset("int8")
        padded = -(-weight.shape[1] // INPUTS) * INPUTS
        codes, scale, _ = self._codes(layer.rows, layer.shape, padded, padded, offset)
        values = [packing8.pack(weight, packing), offset * weight.sum(1, dtype=np.int32)]
        constants = [self.constant(value, layer.name) for value in values]
        self.node(
            "EpDynamicDense", [codes, scale, *constants, *layer.shares], layer.result, DOMAIN,
            channels=len(weight), terms=weight.shape[1], dot=packing.dot,
        )  # fmt: skip

    def _codes(
        self, rows: _Rows, shape: tuple[int, ...], padded: int, together: int, offset: int
    ) -> list[str]:
        """The codes of some rows, their scales and their sums; made once for all layers that read them."""
        key = (rows, padded, together, offset)
        if key not in self.codes:
            count = int(np.prod(shape[:-1], dtype=np.int64))
            form = RowCodes(
                count, shape[-1], padded, together, rows.levels, rows.least, offset, rows.reciprocal
            )
            self.codes[key] = [self.fresh(rows.source) for _ in range(3)]
            shapes = [value for each in (padded, 1, 1) for value in (*shape[:-1], each)]
            self.node("EpRowCodes", [rows.source], self.codes[key], DOMAIN, form=form.text(), shapes=shapes)
        return self.codes[key]

    def _rows(self, name: str) -> _Rows | None:
        """The rows whose codes a tensor holds."""
        cast = self._maker(name, "Cast")
        if cast is None or attributes(cast).get("to") != onnx.TensorProto.UINT8:
            return None
        moved = self._maker(cast.input[0], "Add")
        clip = self._maker(self._beside(moved, _ZERO), "Clip")
        bounds = [self._number(n) for n in clip.input[1:]] if clip is not None else []
        rounded = self._maker(clip.input[0], "Round") if clip is not None and bounds == [-128, 127] else None
        product = self._maker(rounded.input[0], "Mul") if rounded is not None else None
        if product is None:
            return None
        for source, scale in (tuple(product.input), tuple(product.input)[::-1]):
            found = self._scale(scale, source)
            if found is not None:
                return found
        return None

    def _scale(self, name: str, source: str) -> _Rows | None:
        """How a scale is worked out of the rows it is for."""
        times = self._maker(name, "Mul")
        turned = None
        levels: float | None = None
        if times is not None:
            for one, other in (tuple(times.input), tuple(times.input)[::-1]):
                levels, turned = self._number(other), self._maker(one, "Reciprocal")
                if levels is not None and turned is not None:
                    break
        else:
            turned = self._maker(name, "Div")
            levels = self._number(turned.input[0]) if turned is not None else None
        if turned is None or levels is None:
            return None
        held = self._maker(turned.input[-1], "Clip")
        one_bound = held is not None and len([name for name in held.input if name]) == 2
        least = self._number(held.input[1]) if held is not None and one_bound else None
        most = self._maker(held.input[0], "ReduceMax") if held is not None else None
        size = self._maker(most.input[0], "Abs") if most is not None else None
        if most is None or size is None or least is None or size.input[0] != source:
            return None
        if not self._along_rows(most, len(self.shapes.get(source, ()))) or not least > 0:
            return None
        return _Rows(source, name, levels, least, times is not None)

    def _along_rows(self, node: onnx.NodeProto, rank: int) -> bool:
        attrs = attributes(node)
        axes = attrs.get("axes")
        if axes is None and len(node.input) > 1 and node.input[1] in self.constants:
            axes = self.constants[node.input[1]].reshape(-1).tolist()
        last = [axis % rank for axis in axes or ()] == [rank - 1]
        return last and bool(attrs.get("keepdims", 1))

    def _step(self, scaled: onnx.NodeProto, sums: str, scale: str) -> np.ndarray | None:
        """The steps of the weights, where sums are multiplied by them divided by the rows' scales."""
        other = scaled.input[1] if scaled.input[0] == sums else scaled.input[0]
        share = self._maker(other, "Div")
        if share is None or share.input[1] != scale:
            return None
        step = self.constants.get(share.input[0])
        return step if step is not None and step.dtype == np.float32 else None

    def _maker(self, name: str, op: str) -> onnx.NodeProto | None:
        node = self.makers.get(name)
        return node if node is not None and node.op_type == op and not node.domain else None

    def _number(self, name: str) -> float | None:
        value = self.constants.get(name)
        return float(value.reshape(())) if value is not None and value.size == 1 else None

    def _beside(self, node: onnx.NodeProto | None, number: float) -> str:
        """The other operand of a node that has a number as one."""
        if node is None:
            return ""
        a, b = node.input
        return a if self._number(b) == number else b if self._number(a) == number else ""

    def _other_constant(self, node: onnx.NodeProto, name: str) -> np.ndarray | None:
        """The other operand of a node, where it is one number, or one for each output."""
        other = node.input[1] if node.input[0] == name else node.input[0]
        value, shape = self.constants.get(other), self.shapes.get(name)
        if value is None or not shape:
            return None
        return value if along_last_axis(value, shape[-1], len(shape)) else None


def dynamic_rows(model: onnx.ModelProto, machine: Machine) -> onnx.ModelProto:
    """Rewrite dense layers of dynamic rows to two operators each; other graphs come back as they are.

    Args:
        model: with shapes inferred and constants as initializers.
        machine: the target, which decides how weights are packed.
    """
    if all(node.op_type != "MatMulInteger" for node in model.graph.node):
        return model
    return DynamicRows(model, machine).run(model)
