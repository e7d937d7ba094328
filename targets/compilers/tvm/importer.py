"""ONNX to Relax: TVM's importer, with converters for edgepress's own operators beside its own."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from tvm import ir, relax, te, tirx, topi
from tvm.relax.frontend.onnx import onnx_frontend

from edgepress.errors import UnsupportedOpError
from edgepress.targets.compilers.tvm import compute
from edgepress.targets.compilers.tvm.attention_form import ATTENTION
from edgepress.targets.compilers.tvm.deals import DEALT
from edgepress.targets.compilers.tvm.dynamic_dense import DYNAMIC
from edgepress.targets.compilers.tvm.filters import FILTER
from edgepress.targets.compilers.tvm.norms import LAYER_NORM
from edgepress.targets.compilers.tvm.origin import variable
from edgepress.targets.compilers.tvm.padding import OPAQUE, OUT_EWISE_FUSABLE, padded, static_shape
from edgepress.targets.compilers.tvm.quantised import QUANTISED
from edgepress.targets.compilers.tvm.winograd import TAPS, matrix, transforms

MEND = "use the ort engine for this model, or replace the operator before exporting"
Converter = Callable[[Any, Sequence[Any], dict[str, Any]], Any]  # None: TVM's own converter takes it


def import_graph(model: onnx.ModelProto) -> Any:
    """A Relax module whose ``main`` takes the graph's inputs; weights are constants.

    Raises:
        UnsupportedOpError: the importer does not take an operator; the error names op and node.
    """
    known = onnx_frontend._get_convert_map()
    for node in model.graph.node:
        if (
            node.op_type not in known
            and node.op_type not in CONVERTERS
            and node.op_type not in ("If", "Constant")
        ):
            raise UnsupportedOpError(node.op_type, f"node {node.name or node.output[0]!r}", MEND)
        if node.op_type == "If":
            raise UnsupportedOpError("If", f"node {node.name or node.output[0]!r}", MEND)
    importer = _Importer({}, "float32")
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 18)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return importer.from_onnx(model.graph, opset)


class _NamedBuilder(relax.BlockBuilder):  # type: ignore[misc]
    """Names variables after the number of the node that is being converted."""

    node = -1

    def emit(self, expr: Any, name_hint: str = "") -> Any:
        return super().emit(expr, variable(self.node))

    def emit_output(self, output: Any, name_hint: str = "") -> Any:
        alone = output.name if isinstance(output, ir.Var) else name_hint
        return super().emit_output(output, alone)


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc]
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.bb = _NamedBuilder()

    def _check_for_unsupported_ops(self, graph: onnx.GraphProto) -> None:
        return

    def _convert_operator(self, op_name: str, inputs: Any, attrs: dict[str, Any], opset: int) -> Any:
        where = attrs.get("tvm_custom", {}).get("name", "")
        self.bb.node += 1
        try:
            made = CONVERTERS[op_name](self.bb, list(inputs), attrs) if op_name in CONVERTERS else None
            if made is None:
                own = onnx_frontend._get_convert_map()[op_name].get_converter(opset)
                made = own(self.bb, inputs, attrs, [self._nodes, self._params])
            if isinstance(made, relax.Tuple):
                made = relax.Tuple([self._named(field) for field in made])
            return self.bb.normalize(self._named(made)) if isinstance(made, relax.Expr) else made
        except Exception as error:
            cause = (str(error).strip().splitlines() or [""])[0][:200]
            raise UnsupportedOpError(op_name, f"node {where!r}, which TVM refused: {cause}", MEND) from error

    def _named(self, made: Any) -> Any:
        """A tensor bound to a variable that tells the node; anything else as it is."""
        if not isinstance(made, relax.Call):
            return made
        made = self.bb.normalize(made)
        return self.bb.emit(made) if isinstance(made.ty, relax.TensorType) else made


def _conv(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    x = padded(bb, inputs[0], attrs["pads"], 0.0)
    y = bb.emit_te(
        compute.conv, x, inputs[1], list(attrs["strides"]), list(attrs["dilations"]), attrs["channels"],
        "float32", bool(attrs.get(DEALT, 0)),
        primfunc_attrs={"op_pattern": OUT_EWISE_FUSABLE}, primfunc_name_hint="conv",
    )  # fmt: skip
    return relax.op.add(y, inputs[2]) if len(inputs) > 2 else y


def _winograd(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Three kernels: the tiles transformed, their products with the weights, and the outputs."""
    m, space = int(attrs["tile"]), list(attrs["space"])
    names = ("winograd_image", "winograd_product", "winograd_output")
    functions = (compute.winograd_image, compute.winograd_product, compute.winograd_output)
    of = transforms(m)
    image, inverse = (relax.const(matrix(rows).astype(np.float32)) for rows in (of.image, of.inverse))
    batch, *_, depth = static_shape(inputs[0])
    macs = batch * int(np.prod(space)) * depth * TAPS**2 * int(attrs["channels"])
    given = ((image, m, list(attrs["pads"])), (inputs[1], attrs["channels"], macs), (inverse, m, space))
    y = inputs[0]
    for name, function, rest in zip(names, functions, given, strict=True):
        y = bb.emit_te(
            function, y, *rest,
            primfunc_attrs={"op_pattern": OUT_EWISE_FUSABLE}, primfunc_name_hint=name,
        )  # fmt: skip
    return relax.op.add(y, inputs[2]) if len(inputs) > 2 else y


def _depthwise(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    pads = list(attrs["pads"]) if attrs.get("pad_inside") else None
    x = inputs[0] if pads is not None else padded(bb, inputs[0], attrs["pads"], 0.0)
    y = bb.emit_te(
        compute.depthwise, x, inputs[1], list(attrs["strides"]), list(attrs["dilations"]), "float32", pads,
        primfunc_attrs={"op_pattern": OUT_EWISE_FUSABLE}, primfunc_name_hint="depthwise",
    )  # fmt: skip
    return relax.op.add(y, inputs[2]) if len(inputs) > 2 else y


def _dense(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    return bb.emit_te(
        compute.dense, inputs[0], inputs[1], attrs["channels"], "float32",
        primfunc_attrs={"op_pattern": OUT_EWISE_FUSABLE}, primfunc_name_hint="dense",
    )  # fmt: skip


def _max_pool(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    dtype = str(inputs[0].ty.dtype)
    low = float("-inf") if dtype.startswith("float") else float(np.iinfo(dtype).min)
    if dtype == "float32":
        low = float(np.finfo(np.float32).min)
    pads = list(attrs["pads"]) if all(d == 1 for d in attrs["dilations"]) else None
    x = inputs[0] if pads is not None else padded(bb, inputs[0], attrs["pads"], low)
    return bb.emit_te(
        compute.max_pool, x, list(attrs["window"]), list(attrs["strides"]), list(attrs["dilations"]), pads,
        primfunc_attrs={"op_pattern": OUT_EWISE_FUSABLE}, primfunc_name_hint="max_pool",
    )  # fmt: skip


def _average_pool(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    shape, window, pads = static_shape(inputs[0]), list(attrs["window"]), list(attrs["pads"])
    x = padded(bb, inputs[0], pads, 0.0)
    y = bb.emit_te(
        compute.window_sum, x, window, list(attrs["strides"]), "float32",
        primfunc_attrs={"op_pattern": OUT_EWISE_FUSABLE}, primfunc_name_hint="average_pool",
    )  # fmt: skip
    space = static_shape(y)[1:-1]
    if attrs["include_pad"] or not any(pads):
        share = np.full((1,) * len(shape), 1.0 / float(np.prod(window)), np.float32)
    else:
        counts = compute.window_counts(shape[1:-1], space, window, list(attrs["strides"]), pads)
        share = np.ones((), np.float64)
        for each in counts:
            share = np.multiply.outer(share, 1.0 / np.array(each, np.float64))
        share = share.astype(np.float32)[None, ..., None]
    return relax.op.multiply(y, relax.const(share))


def _mean(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    return relax.op.mean(inputs[0], axis=list(attrs["axes"]), keepdims=bool(attrs["keepdims"]))


def _clip(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Bounds known at build time become numbers in the code; others are left to TVM's converter."""
    bounds = [*inputs[1:], None, None][:2]
    if len(inputs) < 2 or str(inputs[0].ty.dtype) != "float32":
        return None
    numbers = []
    for bound in bounds:
        value = bound.value.numpy() if isinstance(bound, ir.expr.GenericConst) else None
        if bound is not None and (value is None or value.size != 1 or np.isnan(value).any()):
            return None
        numbers.append(None if value is None else float(value.reshape(())))

    def clip(x: Any) -> Any:
        low, high = numbers
        x = x if low is None else topi.maximum(x, tirx.const(low, "float32"))
        return x if high is None else topi.minimum(x, tirx.const(high, "float32"))

    return bb.emit_te(clip, inputs[0], primfunc_name_hint="clip") if numbers != [None, None] else None


def _pow(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Squares and cubes are products."""
    given = inputs[1].value.numpy() if isinstance(inputs[1], ir.expr.GenericConst) else None
    if given is None or given.size != 1 or str(inputs[0].ty.dtype) != "float32":
        return None
    exponent = float(given.reshape(()))
    if exponent not in (2.0, 3.0) or given.ndim > len(static_shape(inputs[0])):
        return None
    square = relax.op.multiply(inputs[0], inputs[0])
    return square if exponent == 2.0 else relax.op.multiply(bb.emit(square), inputs[0])


def _whole(mark: str, name: str) -> Converter:
    """A function that only stands for a kernel that is written as a whole; :mod:`schedule.whole` makes it."""

    def convert(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
        form, kind = (
            value.decode() if isinstance(value, bytes) else str(value)
            for value in (attrs["form"], attrs["kind"])
        )

        def function(*given: Any) -> Any:
            return te.compute(attrs["shape"], lambda *at: tirx.const(0, kind), name=name)

        marks = {"op_pattern": OPAQUE, mark: form}
        return bb.emit_te(function, *inputs, primfunc_attrs=marks, primfunc_name_hint=name)

    return convert


CONVERTERS: dict[str, Converter] = {
    "EpConv": _conv,
    "EpWinograd": _winograd,
    "EpDepthwise": _depthwise,
    "EpDense": _dense,
    "EpMaxPool": _max_pool,
    "EpAveragePool": _average_pool,
    "EpMean": _mean,
    "Clip": _clip,
    "Pow": _pow,
    "EpAttention": _whole(ATTENTION, "attention"),
    "EpFilter": _whole(FILTER, "filter"),
    "EpLayerNorm": _whole(LAYER_NORM, "layer_norm"),
    **QUANTISED,
    **DYNAMIC,
}
