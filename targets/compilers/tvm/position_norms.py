"""Groups of channels normalised at each position by itself, as exporters write it: one operator, with the GELU behind.

``parts = Reshape(x, [n, groups, width, …])``, less their mean over ``width``, by the root of their mean square; back to
channels; scaled and shifted by channel. Channels last, that is layer normalisation of rows of ``width``.
"""

from __future__ import annotations

import numpy as np
import onnx

from edgepress.targets.compilers.tvm.graph_editor import DOMAIN, attributes
from edgepress.targets.compilers.tvm.graph_matcher import GraphMatcher
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.norms import GELU_TANH, LayerNorm

OP = "EpPositionNorm"
_CUBE, _ROOT = 0.044715, float(np.sqrt(2 / np.pi))  # of GELU by tanh


class _PositionNorms(GraphMatcher):
    def __init__(self, model: onnx.ModelProto, machine: Machine) -> None:
        super().__init__(model)
        self.machine = machine

    def run(self, model: onnx.ModelProto) -> onnx.ModelProto:
        replaced: set[str] = set()
        for node in self.graph.node:
            if node.output[0] in replaced:
                continue
            output = self._make(node) if node.op_type == "Reshape" else ""
            if output:
                replaced.add(output)
            else:
                self.nodes.append(node)
        self.drop_unread()
        return self.finish(model)

    def _make(self, split: onnx.NodeProto) -> str:
        """Append the operator that a Reshape begins; the tensor that it gives, or empty."""
        given, parts = self.shapes.get(split.input[0]), self.shapes.get(split.output[0])
        if not given or not parts or len(given) not in (3, 4) or len(parts) != len(given) + 1:
            return ""
        groups, width = parts[1], parts[2]
        same = given[0] == parts[0] and given[2:] == parts[3:] and given[1] == groups * width
        if not same or width < 2 * self.machine.lanes:
            return ""
        joined, epsilon = self._normalised(split.output[0])
        if joined is None or self.shapes.get(joined.output[0]) != given:
            return ""
        last, scale, bias = joined, np.ones(given[1], np.float32), np.zeros(given[1], np.float32)
        for op in ("Mul", "Add"):
            after = self.only_reader(last.output[0], op)
            value = self._by_channel(after, last.output[0], given) if after is not None else None
            if after is None or value is None:
                break
            scale, bias = (value, bias) if op == "Mul" else (scale, value)
            last = after
        gelu = self._gelu(last.output[0])
        self.origin = self.between([split.input[0]], gelu or last.output[0])
        rows = int(np.prod(given, dtype=np.int64)) // width
        form = LayerNorm(rows, width, epsilon, None, groups, GELU_TANH if gelu else "")
        output = gelu or last.output[0]
        names = [split.input[0], self.constant(scale, output), self.constant(bias, output)]
        self.node(OP, names, output, DOMAIN, form=form.text())
        return output

    def _normalised(self, parts: str) -> tuple[onnx.NodeProto | None, float]:
        """The Reshape behind parts whose mean is 0 and whose mean square is 1, and what is added to that."""
        nothing = None, 0.0
        away = self._one_of(parts, "Sub")
        if away is None or away.input[0] != parts or not self._is_mean(away.input[1], parts):
            return nothing
        result = next(
            (
                n
                for n in self.readers.get(away.output[0], [])
                if n.op_type == "Mul" and n.input[0] != n.input[1]
            ),
            None,
        )
        if result is None:
            return nothing
        other = result.input[1] if result.input[0] == away.output[0] else result.input[0]
        inverse = self.makers.get(other)
        root = (
            self.makers.get(inverse.input[0])
            if inverse is not None and inverse.op_type == "Reciprocal"
            else None
        )
        total = self.makers.get(root.input[0]) if root is not None and root.op_type == "Sqrt" else None
        if total is None or total.op_type != "Add":
            return nothing
        epsilon = self._number(total.input[1])
        mean = self.makers.get(total.input[0])
        square = self.makers.get(mean.input[0]) if mean is not None else None
        if epsilon is None or square is None or not self._is_mean(total.input[0], square.output[0]):
            return nothing
        if square.op_type != "Mul" or list(square.input) != [away.output[0]] * 2:
            return nothing
        return self.only_reader(result.output[0], "Reshape"), epsilon

    def _is_mean(self, name: str, of: str) -> bool:
        node = self.makers.get(name)
        if node is None or node.op_type != "ReduceMean" or node.input[0] != of:
            return False
        attrs = attributes(node)
        given = self.constants.get(node.input[1]) if len(node.input) > 1 else attrs.get("axes")
        return given is not None and list(given) == [2] and attrs.get("keepdims", 1) == 1

    def _one_of(self, name: str, op: str) -> onnx.NodeProto | None:
        found = [node for node in self.readers.get(name, []) if node.op_type == op]
        return found[0] if len(found) == 1 and name not in self.results else None

    def _by_channel(self, node: onnx.NodeProto, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """The other operand where it is a number for each channel."""
        other = node.input[1] if node.input[0] == name else node.input[0]
        value = self.constants.get(other)
        if value is None or value.dtype != np.float32 or value.size not in (1, shape[1]):
            return None
        full = (
            value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
            if value.ndim <= len(shape)
            else None
        )
        if full is None or (full.size > 1 and full.shape[1] != shape[1]):
            return None
        return np.ascontiguousarray(np.broadcast_to(full.reshape(-1), (shape[1],)), np.float32)

    def _number(self, name: str) -> float | None:
        value = self.constants.get(name)
        return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None

    def _gelu(self, x: str) -> str:
        """What a GELU by tanh of ``x`` gives; empty where something else reads ``x`` too."""
        readers = self.readers.get(x, [])
        if (
            len(readers) == 1
            and readers[0].op_type == "Gelu"
            and attributes(readers[0]).get("approximate") == "tanh"
        ):
            return str(readers[0].output[0])
        if x in self.results or len(readers) != 3:
            return ""
        cube = self._one_of(x, "Pow")
        name = (
            cube.output[0]
            if cube is not None and cube.input[0] == x and self._number(cube.input[1]) == 3.0
            else ""
        )
        for op, wanted in (
            ("Mul", _CUBE),
            ("Add", x),
            ("Mul", _ROOT),
            ("Tanh", None),
            ("Add", 1.0),
            ("Mul", 0.5),
            ("Mul", x),
        ):
            node = self.only_reader(name, op) if name else None
            if node is None:
                return ""
            others = [other for other in node.input if other != name]
            if isinstance(wanted, str):
                fits = others == [wanted]
            elif wanted is None:
                fits = not others
            else:
                number = self._number(others[0]) if len(others) == 1 else None
                fits = number is not None and abs(number - wanted) < 1e-6
            if not fits:
                return ""
            name = node.output[0]
        return name


def position_norms(model: onnx.ModelProto, machine: Machine) -> onnx.ModelProto:
    """Rewrite such normalisations to one operator each; other graphs come back as they are.

    Args:
        model: with shapes inferred and constants as initializers.
        machine: the target; one without vector registers keeps the graph's own operators.
    """
    if machine.lanes == 1 or all(node.op_type != "Reciprocal" for node in model.graph.node):
        return model
    return _PositionNorms(model, machine).run(model)
