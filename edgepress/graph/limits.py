"""Keep a graph within what the target's runtime reads."""

from __future__ import annotations

import re

import onnx
from onnx import version_converter

from edgepress.errors import SourceError
from edgepress.graph.index import copy_of

_NO_ADAPTER = re.compile(r"(?:No Adapter (?:From|To) Version \$?\d+ for|No Previous Version of) (\w+)")
OLDEST_OPSET = 13  # per-channel DequantizeLinear, and the oldest that the passes are written for


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that a model uses."""
    return max((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=1)


def lower_ir_opset(model: onnx.ModelProto, max_ir: int, max_opset: int) -> onnx.ModelProto:
    """A model with IR and opset no newer than asked; older ones stay as they are.

    Raises:
        SourceError: an operator has no form in so old an opset, or the graph needs a newer IR.
    """
    if max_opset < OLDEST_OPSET:
        raise SourceError(f"opset {max_opset} is older than {OLDEST_OPSET}, the oldest that edgepress writes")
    new = copy_of(model)
    opset = opset_of(new)
    if opset > max_opset:
        _forget_defaults(new)
        try:
            new = version_converter.convert_version(new, max_opset)
        except Exception as error:  # the converter raises bare RuntimeErrors from C++
            found = _NO_ADAPTER.search(str(error))
            cause = f"ONNX cannot convert {found.group(1)}" if found else "ONNX cannot convert it"
            raise SourceError(
                f"the graph uses opset {opset}, the target takes {max_opset}, and {cause};"
                " choose a target with a newer runtime, or replace that operator"
            ) from None
    new.ir_version = min(new.ir_version, max_ir)
    try:
        onnx.checker.check_model(new)
    except Exception as error:
        cause = str(error).splitlines()[0]
        raise SourceError(
            f"the graph does not hold with IR {max_ir} and opset {max_opset}: {cause[:200]}"
        ) from None
    return new


def _forget_defaults(model: onnx.ModelProto) -> None:
    """Remove attributes that say what is so anyway and that ONNX's converter would carry into the older
    form."""
    for node in model.graph.node:
        if not node.op_type.startswith("Reduce"):
            continue
        for i in range(len(node.attribute) - 1, -1, -1):
            if node.attribute[i].name == "noop_with_empty_axes" and node.attribute[i].i == 0:
                del node.attribute[i]
