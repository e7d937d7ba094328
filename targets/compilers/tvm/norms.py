"""Layer normalisations found in a graph: one operator each, together with the QuantizeLinear behind it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import onnx

from edgepress.targets.compilers.tvm.graph_editor import DOMAIN, attributes
from edgepress.targets.compilers.tvm.graph_matcher import GraphMatcher
from edgepress.targets.compilers.tvm.grids import Grid
from edgepress.targets.compilers.tvm.machine import Machine

LAYER_NORM = "ep.layer_norm"  # the attribute of a PrimFunc that stands for a layer normalisation
GELU_TANH = "gelu_tanh"


@dataclass(frozen=True)
class LayerNorm:
    """``(x − mean) / sqrt(variance + epsilon) · scale + bias`` of each row; on a grid where it is quantised.

    Scale and bias are those of so many rows, in turn: ``groups``. What becomes of the result is the ``activation``:
    :data:`GELU_TANH` or none.
    """

    rows: int
    width: int
    epsilon: float
    grid: Grid | None
    groups: int = 1
    activation: str = ""

    def text(self) -> str:
        """The form as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def layer_norm_of(text: str) -> LayerNorm:
    """The form that :meth:`LayerNorm.text` wrote."""
    data = json.loads(text)
    return LayerNorm(**{**data, "grid": Grid(**data["grid"]) if data["grid"] else None})


class LayerNorms(GraphMatcher):
    """The pass itself."""

    def __init__(self, model: onnx.ModelProto, machine: Machine) -> None:
        super().__init__(model)
        self.model, self.machine = model, machine
        self.replaced: set[str] = set()  # what a QuantizeLinear gave and is given here

    def run(self) -> onnx.ModelProto:
        """The model with its layer normalisations as ``EpLayerNorm``."""
        for node in self.graph.node:
            if node.output[0] in self.replaced:
                continue
            if node.op_type != "LayerNormalization" or node.domain or not self._make(node):
                self.nodes.append(node)
        self.drop_unread()
        return self.finish(self.model)

    def _make(self, node: onnx.NodeProto) -> bool:
        shape = self.shapes.get(node.input[0])
        attrs = attributes(node)
        if not shape or int(attrs.get("axis", -1)) % len(shape) != len(shape) - 1 or len(node.output) > 1:
            return False
        width = shape[-1]
        names = [name for name in node.input[1:] if name]
        if width < 2 * self.machine.lanes or any(self.shapes.get(name) != (width,) for name in names):
            return False
        if any(name not in self.constants or self.constants[name].dtype != np.float32 for name in names):
            return False
        after = self.only_reader(node.output[0], "QuantizeLinear")
        grid = self.grid(after) if after is not None else None
        output = after.output[0] if after is not None and grid is not None else node.output[0]
        if len(names) == 1:
            names.append(self.constant(np.zeros(width, np.float32), node.output[0]))
        rows = int(np.prod(shape[:-1], dtype=np.int64))
        form = LayerNorm(rows, width, float(attrs.get("epsilon", 1e-5)), grid)
        kind = grid.dtype if grid else "float32"
        inputs = [node.input[0], *names]
        self.origin = (node,) if grid is None or after is None else (node, after)
        if after is not None and grid is not None:
            self.replaced.add(output)
        self.node("EpLayerNorm", inputs, output, DOMAIN, form=form.text(), shape=shape, kind=kind)
        return True


def layer_norms(model: onnx.ModelProto, machine: Machine) -> onnx.ModelProto:
    """Rewrite layer normalisations to one operator each; other graphs come back as they are.

    Args:
        model: with shapes inferred and constants as initializers.
        machine: the target; one without vector registers keeps the graph's own operators.
    """
    if machine.lanes == 1 or all(node.op_type != "LayerNormalization" for node in model.graph.node):
        return model
    return LayerNorms(model, machine).run()
