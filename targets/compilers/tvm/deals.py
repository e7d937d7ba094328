"""Channels dealt anew between two grouped convolutions: the second reads them where the first has left them.

``Reshape [n, groups, own] · Transpose · Reshape`` makes channel ``g·own + k`` into ``k·groups + g``. A convolution with
one group for each ``k`` can take its inputs ``own`` apart instead, so that nothing is moved.
"""

from __future__ import annotations

import onnx

from edgepress.targets.compilers.tvm.graph_editor import attributes
from edgepress.targets.compilers.tvm.graph_matcher import GraphMatcher
from edgepress.targets.compilers.tvm.groups import in_one_vector
from edgepress.targets.compilers.tvm.machine import Machine

DEALT = "dealt"  # the attribute of a Conv whose groups take every so many-th channel


class _Deals(GraphMatcher):
    def __init__(self, model: onnx.ModelProto, machine: Machine) -> None:
        super().__init__(model)
        self.machine = machine

    def run(self, model: onnx.ModelProto) -> onnx.ModelProto:
        gone: set[str] = set()
        for node in self.graph.node:
            found = self._dealt(node) if node.op_type == "Conv" and not node.domain else ()
            if found:
                moved = onnx.NodeProto()
                moved.CopyFrom(node)
                moved.input[0] = found[0].input[0]
                moved.attribute.append(onnx.helper.make_attribute(DEALT, 1))
                gone.update(one.output[0] for one in found)
                self.nodes.append(moved)
            else:
                self.nodes.append(node)
        self.nodes = [node for node in self.nodes if node.output[0] not in gone]
        return self.finish(model)

    def _dealt(self, conv: onnx.NodeProto) -> tuple[onnx.NodeProto, ...]:
        """The nodes in front of a convolution that only deal its channels, first to last; none where they do more."""
        weight, group = self.constants.get(conv.input[1]), int(attributes(conv).get("group", 1))
        if weight is None or weight.shape[0] <= group or group == 1:
            return ()
        if in_one_vector(weight.shape, group, self.machine.lanes):
            return ()
        joined = self.only_made(conv.input[0], "Reshape")
        turned = self.only_made(joined.input[0], "Transpose") if joined is not None else None
        split = self.only_made(turned.input[0], "Reshape") if turned is not None else None
        if joined is None or turned is None or split is None:
            return ()
        given, parts = self.shapes.get(split.input[0]), self.shapes.get(split.output[0])
        if not given or not parts or self.shapes.get(joined.output[0]) != given:
            return ()
        order = [0, 2, 1, *range(3, len(parts))]
        dealt = (given[0], weight.shape[1], group, *given[2:])
        if len(given) not in (3, 4) or parts != dealt or list(attributes(turned).get("perm", ())) != order:
            return ()
        return split, turned, joined


def deals(model: onnx.ModelProto, machine: Machine) -> onnx.ModelProto:
    """Convolutions by groups that take their channels as they lie; other graphs come back as they are.

    Args:
        model: with shapes inferred and constants as initializers.
        machine: the target.
    """
    if all(node.op_type != "Transpose" for node in model.graph.node):
        return model
    return _Deals(model, machine).run(model)
