"""From a user's ONNX file to a graph that is whole, valid and of fixed shapes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import inliner

from edgepress.errors import SourceError, UnsupportedOpError
from edgepress.exporters.external_data import load_external
from edgepress.graph.external import tensors
from edgepress.graph.index import copy_of, subgraphs
from edgepress.graph.shapes import infer_shapes
from edgepress.tensor import DTYPES, TensorSpec

# Protocol buffers hold no more than this in one message; larger models keep their weights beside the file.
LARGEST_FILE = (1 << 31) - 1
# All weights together, those beside the file included.
LARGEST_MODEL = 1 << 34
# What ONNX Runtime has operators for; "ai.onnx" is another name for "".
_DOMAINS = frozenset({"", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"})
# Weights may be packed in these; nothing that goes in, comes out or lies between is.
_PACKED = ("int4", "uint4")
_NO_OP = re.compile(r"No (?:Op|opset import|schema)[^\n]*? (?:registered )?for (\w+)")


def read_onnx(
    path: str | Path, *, largest_file: int = LARGEST_FILE, largest_model: int = LARGEST_MODEL
) -> onnx.ModelProto:
    """Read and check an ONNX file; weights beside it are loaded, local functions are written out.

    Args:
        path: the file. External data must lie in its folder or below.
        largest_file: bytes the file may have.
        largest_model: bytes the file and its external data may have together.

    Raises:
        SourceError: the file is missing, too large, truncated, no ONNX, invalid, its weights lie elsewhere, or
            its tensors have elements of a type that edgepress does not take.
        UnsupportedOpError: it uses an operator that ONNX does not define, or a domain that ONNX Runtime does not.
    """
    file = Path(path)
    model = _parse(file, largest_file)
    load_external(model, file, largest_model)
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        _check_domains(model)
        onnx.checker.check_model(model, full_check=False)
    except UnsupportedOpError:
        raise
    except Exception as error:  # onnx raises ValidationError and bare C++ errors
        raise _invalid(file, model, error) from None
    _check_types(model)
    return model


def fix_shapes(model: onnx.ModelProto, specs: Sequence[TensorSpec]) -> onnx.ModelProto:
    """Give every input a fixed shape and infer all others from them.

    Args:
        model: a checked graph.
        specs: what ``--input`` says; inputs whose shape the file fixes need none.

    Raises:
        SourceError: a tensor has elements of a type that edgepress does not take, a name is no input,
            a shape or type contradicts the file, an extent is still open, or an
            output's shape depends on values.
    """
    _check_types(model)
    new = copy_of(model)
    initialised = {item.name for item in new.graph.initializer}
    inputs = {item.name: item for item in new.graph.input if item.name not in initialised}
    for spec in specs:
        if spec.name not in inputs:
            near = difflib.get_close_matches(spec.name, inputs, 1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(map(repr, inputs)) or 'none'}"
            )
            raise SourceError(f"the model has no input {spec.name!r}; {hint}")
        _fix(inputs[spec.name], spec)
    for name, value in inputs.items():
        if not value.type.HasField("tensor_type"):
            raise SourceError(
                f"the input {name!r} is no tensor; edgepress takes models whose inputs are tensors"
            )
        shape = value.type.tensor_type.shape
        if not value.type.tensor_type.HasField("shape") or any(dim.dim_value < 1 for dim in shape.dim):
            example = "x".join(str(dim.dim_value if dim.dim_value > 0 else 1) for dim in shape.dim) or "1"
            raise SourceError(
                f"the input {name!r} has the open shape {_written(value)}; fix it, for example with"
                f" --input {name}:{example}:{_type_name(value.type.tensor_type.elem_type)}"
            )
    del new.graph.value_info[:]
    for value in new.graph.output:
        if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.ClearField("shape")
    new = infer_shapes(new)
    _check_types(new)
    for value in new.graph.output:
        tensor = value.type.tensor_type
        if not tensor.HasField("shape") or any(not dim.HasField("dim_value") for dim in tensor.shape.dim):
            raise SourceError(
                f"the output {value.name!r} has no fixed shape ({_written(value)}) although the inputs"
                " have; it"
                " depends on values, or on an operator that ONNX does not know: cut the model before it"
            )
    return new


def _parse(file: Path, largest: int) -> onnx.ModelProto:
    try:
        if file.is_dir():
            raise SourceError(f"{file} is a folder, not an ONNX file")
        size = file.stat().st_size
        if size > largest:
            raise SourceError(f"{file} has {size} bytes, more than the {largest} an ONNX file may have")
        data = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror or error}") from None
    if not data:
        raise SourceError(f"{file} is empty; export the model again")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # protobuf's DecodeError, which is not imported for want of type stubs
        raise SourceError(f"{file} is no ONNX file, or it is cut short; export or copy it again") from None
    if model.ir_version < 1 or not model.HasField("graph") or not model.opset_import:
        raise SourceError(f"{file} is no ONNX file, or it is cut short; export or copy it again")
    if not model.graph.node or not model.graph.output:
        raise SourceError(f"{file} holds a graph without nodes or outputs; export or copy it again")
    return model


def _check_domains(model: onnx.ModelProto) -> None:
    """Name the first node whose domain the model does not import, or ONNX Runtime does not know."""
    imported = {_domain(item.domain) for item in model.opset_import}
    for node in _nodes(model.graph):
        domain = _domain(node.domain)
        if domain in imported and domain in _DOMAINS:
            continue
        mend = (
            "ONNX Runtime does not know the domain: export with operators of ONNX's own"
            if domain not in _DOMAINS
            else "the model does not import the domain: export it again"
        )
        where = f"{_node(node)} of the domain {node.domain!r}"
        raise UnsupportedOpError(" ".join(node.op_type.split()), where, mend)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from _nodes(inner)


def _node(node: onnx.NodeProto) -> str:
    return f"node {node.name or next(iter(node.output), '')!r}"


def _check_types(model: onnx.ModelProto) -> None:
    """Refuse elements that edgepress does not take, such as texts and bfloat16."""
    values = [("input", value) for value in model.graph.input]
    values += [("output", value) for value in model.graph.output]
    values += [("tensor", value) for value in model.graph.value_info]
    found = [
        (what, value.name, value.type.tensor_type.elem_type)
        for what, value in values
        if value.type.HasField("tensor_type")
    ]
    found += [("constant", tensor.name, tensor.data_type) for tensor in tensors(model)]
    for what, name, kind in found:
        written = _type_name(kind)
        if kind and written not in DTYPES and (what in ("input", "output") or written not in _PACKED):
            raise SourceError(
                f"the {what} {name!r} has elements of the type {written}; edgepress takes {', '.join(DTYPES)}:"
                " convert the model to one of these"
            )


def _type_name(kind: int) -> str:
    names = {"FLOAT": "float32", "DOUBLE": "float64"}
    if kind not in onnx.TensorProto.DataType.values():
        return f"number {kind}"
    name: str = onnx.TensorProto.DataType.Name(kind)
    return names.get(name, name.lower())


def _invalid(file: Path, model: onnx.ModelProto, error: Exception) -> SourceError:
    text = " ".join(str(error).split())
    found = _NO_OP.search(text)
    if found:
        op = found.group(1)
        node = next((node for node in _nodes(model.graph) if node.op_type == op), None)
        where = _node(node) if node is not None else str(file)
        return UnsupportedOpError(op, where, "ONNX does not define it: export with operators of its own")
    return SourceError(f"{file} is no valid ONNX model: {text[:240]}")


def _fix(value: onnx.ValueInfoProto, spec: TensorSpec) -> None:
    tensor = value.type.tensor_type
    if _type_name(tensor.elem_type) != spec.dtype:
        raise SourceError(
            f"the input {spec.name!r} is {_type_name(tensor.elem_type)} in the file, not {spec.dtype}"
        )
    if tensor.HasField("shape"):
        known = [dim.dim_value for dim in tensor.shape.dim]
        fits = len(known) == len(spec.shape) and all(
            extent < 1 or extent == asked for extent, asked in zip(known, spec.shape, strict=True)
        )
        if not fits:
            asked = "x".join(map(str, spec.shape)) or "a scalar"
            raise SourceError(
                f"the input {spec.name!r} has the shape {_written(value)} in the file, not {asked}"
            )
    del tensor.shape.dim[:]
    tensor.shape.SetInParent()
    for extent in spec.shape:
        tensor.shape.dim.add().dim_value = extent


def _written(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return "unknown"
    parts = [str(dim.dim_value) if dim.dim_value > 0 else dim.dim_param or "?" for dim in tensor.shape.dim]
    return "x".join(parts) or "a scalar"
