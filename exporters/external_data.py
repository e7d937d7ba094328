"""Weights that an ONNX file keeps in files beside it: found, checked, and read into the model."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgepress.errors import SourceError
from edgepress.graph.external import locate, tensors


def load_external(model: onnx.ModelProto, file: Path, largest: int) -> None:
    """Read the external tensors of a model into it, in place.

    Args:
        model: as parsed from ``file``.
        file: the ONNX file; data must lie in its folder or below, links followed.
        largest: bytes that all tensors together may have.

    Raises:
        SourceError: a tensor's extents make no sense, its data lies outside the folder, is missing, or is
            shorter than the tensor; or all are larger than allowed. Nothing is read before these are known.
    """
    total = 0
    wanted: list[tuple[onnx.TensorProto, Path, int, int]] = []
    for tensor in tensors(model):
        total += _size(tensor, file)
        if total > largest:
            raise SourceError(f"the weights of {file} take more than {largest} bytes")
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            wanted.append(_place(tensor, file))
    for tensor, place, offset, length in wanted:
        try:
            with place.open("rb") as data:
                data.seek(offset)
                content = data.read(length)
        except OSError as error:
            raise SourceError(
                f"the weights of {file} in {place.name} cannot be read: {error.strerror}"
            ) from None
        if len(content) != length:
            raise SourceError(f"{place.name}, which holds weights of {file}, is cut short; copy it again")
        tensor.raw_data = content
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _size(tensor: onnx.TensorProto, file: Path) -> int:
    """The bytes a tensor takes; strings count nothing."""
    if tensor.data_type == onnx.TensorProto.STRING:
        return 0
    try:
        bits = int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize) * 8
    except (KeyError, ValueError, TypeError):
        raise SourceError(
            f"{file} holds a tensor {tensor.name!r} of an unknown type {tensor.data_type}"
        ) from None
    if tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.FLOAT4E2M1):
        bits = 4
    count = 1
    for extent in tensor.dims:
        if extent < 0:
            raise SourceError(f"{file} holds a tensor {tensor.name!r} with a negative extent")
        count *= extent
    return (count * bits + 7) // 8


def _place(tensor: onnx.TensorProto, file: Path) -> tuple[onnx.TensorProto, Path, int, int]:
    path = locate(tensor, file)
    fields = {item.key: item.value for item in tensor.external_data}
    size = _size(tensor, file)
    try:
        offset = int(fields.get("offset", "0") or "0")
        length = int(fields.get("length", str(size)) or size)
    except ValueError:
        raise SourceError(
            f"{file} says of {tensor.name!r} where it lies in words that are no numbers"
        ) from None
    if length != size or offset < 0 or offset + length > path.stat().st_size:
        raise SourceError(
            f"the weights {tensor.name!r} of {file} take {size} bytes, but {fields['location']!r} does not hold them at"
            f" {offset} (length {length}); copy it again"
        )
    return tensor, path, offset, length
