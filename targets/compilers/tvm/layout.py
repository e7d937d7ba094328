"""The ONNX-level layout pass: convolutions, pools and what lies between them, channels last.

Dense weights are packed in panels as wide as the target's register tile. Transposes are made only
where a channels-last region begins and ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from edgepress.targets.compilers.tvm import packing8, winograd
from edgepress.targets.compilers.tvm.deals import DEALT
from edgepress.targets.compilers.tvm.filters import GRAIN, read_filter
from edgepress.targets.compilers.tvm.graph_editor import DOMAIN, GraphEditor, attributes
from edgepress.targets.compilers.tvm.groups import in_one_vector, merged
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.panels import outputs_last, pack
from edgepress.targets.compilers.tvm.position_norms import OP as POSITION_NORM
from edgepress.targets.compilers.tvm.weights8 import packed_weights, why_apart
from edgepress.targets.compilers.tvm.windows import window_of

UNARY = frozenset((
    "Relu", "Clip", "Sigmoid", "HardSwish", "HardSigmoid", "Tanh", "LeakyRelu", "Elu", "Selu", "Celu",
    "Exp", "Log", "Neg", "Abs", "Sqrt", "Erf", "Gelu", "Softplus", "Softsign", "Mish", "Identity", "Cast",
    "Floor", "Ceil", "Round", "Reciprocal", "Sign", "Not", "QuantizeLinear", "DequantizeLinear",
    "ThresholdedRelu",
))  # fmt: skip
BINARY = frozenset((
    "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "PRelu", "Equal", "Less", "Greater", "And", "Or",
    "Where", "EpQAdd", "EpQMul",
))  # fmt: skip
Settings = dict[str, list[int]]
_SHARE = 16  # of main memory: what transformed weights may take more than the graph's
_NO_LIMIT = 1 << 62
_KEPT = ("zero_in", "zero_out", "low", "high", "to", "bounded")  # what a quantised operator takes along


class ChannelsLast(GraphEditor):
    """The pass itself: keeps, for each tensor, which of its two layouts exist already."""

    def __init__(self, model: onnx.ModelProto, panel: int, machine: Machine) -> None:
        super().__init__(model)
        self.panel = panel
        self.machine = machine
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.room = machine.memory // _SHARE if machine.memory else _NO_LIMIT
        self.last: dict[str, str] = {}
        self.first = set(self.constants) | {i.name for i in model.graph.input} | {""}

    def run(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model with its convolutional regions channels last."""
        for node in self.graph.node:
            self.origin = (node,)
            if not any(road(node) for road in (self._windowed, self._dense, self._norm, self._follow)):
                for name in {*node.input, *_outer_names(node)}:
                    self.need_first(name)
                self.nodes.append(node)
                self.first.update(node.output)
        self.origin = ()
        for output in self.graph.output:
            self.need_first(output.name)
        return self.finish(model)

    def need_first(self, name: str) -> str:
        """The channels-first tensor of that name, transposed back where only the other exists."""
        if name not in self.first and name in self.last:
            rank = len(self.shapes[name])
            self.node("Transpose", [self.last[name]], name, perm=[0, rank - 1, *range(1, rank - 1)])
            self.first.add(name)
        return name

    def need_last(self, name: str) -> str:
        """The channels-last form of a tensor."""
        if name not in self.last:
            rank = len(self.shapes[name])
            self.last[name] = self.fresh(name)
            self.node("Transpose", [name], self.last[name], perm=[0, *range(2, rank), 1])
        return self.last[name]

    def give_last(self, name: str) -> str:
        """A name for the channels-last form of a node's output."""
        self.last[name] = self.fresh(name)
        return self.last[name]

    def _windowed(self, node: onnx.NodeProto) -> bool:
        if node.op_type not in (
            "Conv",
            "EpQConv",
            "MaxPool",
            "AveragePool",
            "GlobalAveragePool",
            "ReduceMean",
            "EpQMean",
        ):
            return False
        shape = self.shapes.get(node.input[0])
        if shape is None or len(shape) not in (3, 4):
            return False
        attrs = attributes(node)
        if node.op_type in ("Conv", "EpQConv"):
            return self._conv(node, attrs, shape)
        if node.op_type in ("MaxPool", "AveragePool"):
            return self._pool(node, attrs, shape)
        return self._mean(node, attrs, shape)

    def _conv(self, node: onnx.NodeProto, attrs: dict[str, Any], shape: tuple[int, ...]) -> bool:
        weight = self.constants.get(node.input[1])
        if weight is None:
            return False
        group = int(attrs.get("group", 1))
        kernel = weight.shape[2:]
        settings = window_of(attrs, shape, kernel)
        quantised = node.op_type == "EpQConv"
        rest = [name for name in node.input[2:] if name]
        extra = {key: attrs[key] for key in _KEPT if key in attrs}
        apart = 1 < group == len(weight) == shape[1]
        if group == shape[1] and not quantised and not rest and self._filter(node, weight, settings, shape):
            return True
        if quantised and not apart:
            whole, group = merged(weight, group, packing8.INPUTS, self.machine.lanes)
            op, (packed, rest) = "Conv", self._weights8(whole, rest, attrs, extra, group)
            extra["terms"] = int(weight.shape[1])
        elif group == 1 and (tile := self._winograd(weight, settings, shape, self.shapes[node.output[0]])):
            op, extra["tile"] = "Winograd", tile
            extra["space"] = list(self.shapes[node.output[0]][2:])
            packed = np.stack([pack(each, self.panel) for each in winograd.transformed(weight, tile)])
        elif group == 1:
            op, packed = "Conv", pack(weight, self.panel)
        elif apart:
            op, packed = "Depthwise", outputs_last(weight)
            if quantised:
                packed = packed[..., 0, :]
                extra |= {"taps": int(weight.shape[-1]), "offset": 0, **why_apart(weight)}
                extra["dot"] = packing8.depthwise_dot(self.machine, weight, settings["dilations"][-1])
                if extra["dot"]:
                    rest[0], extra["offset"] = self._offset8(weight, rest[0], attrs)
                    packed = packing8.pack_depthwise(packed, self.machine.lanes)
                    zero = int(attrs["zero_in"]) + extra["offset"]
                    if attrs["bounded"] and packing8.slides(self.machine, zero):
                        extra["pad_inside"] = 1
                        packed = packing8.with_blank_row(packed, shape[1])
                        rest = [self._in_order(name) for name in rest]
        elif not quantised and in_one_vector(weight.shape, group, self.machine.lanes):
            op, packed = "Depthwise", outputs_last(weight)
        elif not quantised and weight.shape[0] > group:
            each = weight.reshape(group, -1, *weight.shape[1:])
            panel = min(self.panel, each.shape[1])
            op, packed = "Conv", np.stack([pack(one, panel) for one in each])
            extra |= {DEALT: 1} if DEALT in attrs else {}
        else:
            return False
        if op == "Depthwise" and not quantised and self.machine.lanes > 1:
            extra["pad_inside"] = 1
        source = self._image(node.input[0], settings, extra) if quantised and op == "Conv" else ""
        self.node(
            ("EpQ" if quantised else "Ep") + op,
            [source or self.need_last(node.input[0]), self.constant(packed, node.input[1]), *rest],
            self.give_last(node.output[0]), DOMAIN, channels=int(weight.shape[0]), **settings, **extra,
        )  # fmt: skip
        return True

    def _filter(
        self, node: onnx.NodeProto, weight: np.ndarray, settings: Settings, shape: tuple[int, ...]
    ) -> bool:
        """Two filters along one axis, the same for every channel."""
        grain = int(attributes(node).get(GRAIN, 1))
        form = read_filter(weight, shape[1], settings, shape, self.machine, grain)
        made = self.shapes.get(node.output[0])
        if form is None or made is None:
            return False
        self.node(
            "EpFilter", [self.need_last(node.input[0])], self.give_last(node.output[0]), DOMAIN,
            form=form.text(), shape=[made[0], *made[2:], made[1]], kind="float32",
        )  # fmt: skip
        return True

    def _image(self, name: str, settings: Settings, extra: dict[str, Any]) -> str:
        """An image quantised, padded and put channels last in one step; its name, or empty.

        What it has done is taken out of the convolution's settings.
        """
        maker, shape, machine = self.makers.get(name), self.shapes[name], self.machine
        if maker is None or maker.op_type != "QuantizeLinear" or name in self.last:
            return ""
        if machine.arch not in ("x86_64", "aarch64") or machine.lanes == 1:
            return ""
        if len(shape) != 4 or shape[1] > packing8.INPUTS or shape[3] < machine.lanes:
            return ""
        parameters = [self.constants.get(given) for given in maker.input[1:]]
        if len(parameters) != 2 or any(value is None or value.size != 1 for value in parameters):
            return ""
        made, reader = self.fresh(name), self.origin
        self.origin = (maker,)
        self.node(
            "EpQImage", [self.need_first(maker.input[0]), *maker.input[1:]], made, DOMAIN,
            pads=settings["pads"], zero_in=extra["zero_in"],
        )  # fmt: skip
        self.origin, settings["pads"] = reader, [0] * 4
        return made

    def _winograd(
        self, weight: np.ndarray, settings: Settings, shape: tuple[int, ...], out: tuple[int, ...]
    ) -> int:
        """The tile of Winograd's convolution where that is cheaper and its larger weights find room, or 0."""
        if weight.shape[2:] != (winograd.TAPS,) * 2 or not self.machine.winograd:
            return 0
        if any(s != 1 for s in (*settings["strides"], *settings["dilations"])):
            return 0
        tile = winograd.tile_of(weight.shape[1], weight.shape[0], shape[0], (out[2], out[3]))
        more = weight.nbytes * ((tile + 2) ** 2 - 9) // 9
        if not tile or more > self.room:
            return 0
        self.room -= more
        return tile

    def _weights8(
        self,
        weight: np.ndarray,
        rest: list[str],
        attrs: dict[str, Any],
        extra: dict[str, Any],
        group: int = 1,
    ) -> tuple[np.ndarray, list[str]]:
        """Eight-bit weights packed, and their bias and scale; ``extra`` is told what the operator has to know."""
        given = [self.constants[name] for name in rest]
        dtype = _dtype_of(attrs)
        made = packed_weights(self.machine, weight, given[0], given[1], dtype, self.panel, group)
        extra |= made.attrs
        names = [
            name if value is old else self.constant(value, name)
            for name, old, value in zip(rest, given, (made.bias, made.scale), strict=True)
        ]
        return made.packed, names

    def _offset8(self, weight: np.ndarray, bias: str, attrs: dict[str, Any]) -> tuple[str, int]:
        value, offset = packing8.moved_bias(self.machine, weight, self.constants[bias], _dtype_of(attrs))
        return (self.constant(value, bias) if offset else bias), offset

    def _in_order(self, name: str) -> str:
        value = self.added.get(name, self.constants.get(name))
        assert value is not None
        return self.constant(packing8.channel_order(value, self.machine.lanes), name)

    def _pool(self, node: onnx.NodeProto, attrs: dict[str, Any], shape: tuple[int, ...]) -> bool:
        if attrs.get("ceil_mode") or attrs.get("storage_order") or len(node.output) > 1:
            return False
        settings = window_of(attrs, shape, attrs["kernel_shape"])
        if node.op_type == "AveragePool" and any(d != 1 for d in settings["dilations"]):
            return False
        self.node(
            "Ep" + node.op_type, [self.need_last(node.input[0])], self.give_last(node.output[0]), DOMAIN,
            window=list(attrs["kernel_shape"]), include_pad=int(attrs.get("count_include_pad", 0)),
            **settings,
        )  # fmt: skip
        return True

    def _mean(self, node: onnx.NodeProto, attrs: dict[str, Any], shape: tuple[int, ...]) -> bool:
        rank = len(shape)
        keep = 1
        if node.op_type == "ReduceMean":
            axes = attrs.get("axes")
            if axes is None and len(node.input) > 1 and node.input[1] in self.constants:
                axes = self.constants[node.input[1]].tolist()
            keep = int(attrs.get("keepdims", 1))
            if axes is None or sorted(a % rank for a in axes) != list(range(2, rank)):
                return False
            if node.input[0] not in self.last:
                return False
        if node.op_type == "EpQMean":
            keep = int(attrs.pop("keepdims"))
        source = self.need_last(node.input[0])
        output = self.give_last(node.output[0]) if keep else node.output[0]
        if not keep:
            self.first.add(output)
        op, extra = ("EpQMean", attrs) if node.op_type == "EpQMean" else ("EpMean", {})
        self.node(op, [source], output, DOMAIN, axes=list(range(1, rank - 1)), keepdims=keep, **extra)
        return True

    def _dense(self, node: onnx.NodeProto) -> bool:
        if node.op_type not in ("Gemm", "MatMul", "EpQDense"):
            return False
        weight = self.constants.get(node.input[1])
        shape = self.shapes.get(node.input[0])
        if (
            weight is None
            or weight.ndim != 2
            or not shape
            or weight.dtype not in (np.float32, np.int8, np.uint8)
        ):
            return False
        attrs = attributes(node)
        if attrs.get("transA"):
            return False
        if attrs.get("transB"):
            weight = weight.T
        if attrs.get("alpha", 1.0) != 1.0:
            weight = weight * np.float32(attrs["alpha"])
        source, out = self.need_first(node.input[0]), node.output[0]
        self.first.add(out)
        if node.op_type == "EpQDense":
            rest = list(node.input[2:])
            extra = {key: attrs[key] for key in _KEPT if key in attrs}
            value, rest = self._weights8(np.ascontiguousarray(weight.T), rest, attrs, extra)
            packed, extra["terms"] = self.constant(value, node.input[1]), int(weight.shape[0])
            self.node(
                "EpQDense", [source, packed, *rest], out, DOMAIN, channels=int(weight.shape[1]), **extra
            )
            return True
        packed = self.constant(pack(np.ascontiguousarray(weight.T), self.panel), node.input[1])
        bias = node.input[2] if len(node.input) > 2 else ""
        product = self.fresh(out) if bias else out
        self.node("EpDense", [source, packed], product, DOMAIN, channels=int(weight.shape[1]))
        if bias:
            if attrs.get("beta", 1.0) != 1.0:
                scaled = self.fresh(bias)
                factor = self.constant(np.array(attrs["beta"], np.float32), "beta")
                self.node("Mul", [self.need_first(bias), factor], scaled)
                bias = scaled
            self.node("Add", [product, self.need_first(bias)], out)
        return True

    def _norm(self, node: onnx.NodeProto) -> bool:
        """Channels normalised by position: rows of channels, in the layout that has them beside one another."""
        if node.op_type != POSITION_NORM:
            return False
        first, *space = self.shapes[node.output[0]][0], *self.shapes[node.output[0]][2:]
        self.node(
            "EpLayerNorm", [self.need_last(node.input[0]), *node.input[1:]], self.give_last(node.output[0]), DOMAIN,
            form=attributes(node)["form"], shape=[first, *space, self.shapes[node.output[0]][1]], kind="float32",
        )  # fmt: skip
        return True

    def _follow(self, node: onnx.NodeProto) -> bool:
        """Element-wise nodes and concatenation go on in the layout of what they read."""
        names = [name for name in node.input if name]
        shape = self.shapes.get(node.output[0])
        if shape is None or len(shape) not in (3, 4) or len(node.output) != 1:
            return False
        if not any(name in self.last and name not in self.first for name in names):
            return False
        rank = len(shape)
        inputs: list[str] = []
        attrs = {attr.name: onnx.helper.get_attribute_value(attr) for attr in node.attribute}
        if node.op_type == "EpTable":
            inputs = [self.need_last(node.input[0]), node.input[1]]
        elif node.op_type in UNARY:
            if any(int(np.prod(self.shapes.get(name, (2,)))) != 1 for name in names[1:]):
                return False
            inputs = [self.need_last(node.input[0]), *node.input[1:]]
        elif node.op_type in BINARY:
            if any(name not in self.constants and len(self.shapes.get(name, ())) != rank for name in names):
                return False
            inputs = [self._turned(name, rank) for name in node.input]
        elif node.op_type == "Concat" and int(attrs["axis"]) % rank == 1:
            if any(len(self.shapes.get(name, ())) != rank for name in names):
                return False
            inputs = [self._turned(name, rank) for name in node.input]
            attrs["axis"] = rank - 1
        else:
            return False
        self.node(node.op_type, inputs, self.give_last(node.output[0]), node.domain, **attrs)
        return True

    def _turned(self, name: str, rank: int) -> str:
        value = self.constants.get(name)
        if value is None:
            return self.need_last(name)
        if value.size == 1 and value.ndim <= 1:
            return name
        full = value.reshape((1,) * (rank - value.ndim) + value.shape)
        return self.constant(np.ascontiguousarray(np.moveaxis(full, 1, -1)), name)


def _dtype_of(attrs: dict[str, Any]) -> str:
    """The type of a quantised operator's activations."""
    return str(onnx.helper.tensor_dtype_to_np_dtype(attrs["from"]).name)


def _outer_names(node: onnx.NodeProto) -> set[str]:
    """Tensors that a node's inner graphs read from outside."""
    return {
        name
        for attr in node.attribute if attr.HasField("g")
        for inner in attr.g.node for name in inner.input
    }  # fmt: skip


def channels_last(model: onnx.ModelProto, panel: int, machine: Machine) -> onnx.ModelProto:
    """Rewrite convolutional regions to channels last and pack dense weights in panels of ``panel`` columns.

    Args:
        model: with shapes inferred and constants as initializers.
        panel: the width of the target's register tile, in columns.
        machine: the target, which decides how eight-bit weights are packed.
    """
    return ChannelsLast(model, panel, machine).run(model)
