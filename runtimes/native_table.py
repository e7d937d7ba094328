"""The structures of ``runtimes/c/ep.h`` for ctypes, and a model's tables read from memory."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from edgepress.errors import BundleError
from edgepress.tensor import TensorSpec

ABI = 1
ALIGN = 64
MAX_RANK = 8
MOST = 65536
"""More ops or tensors than any model has."""
ELEMENT_TYPES = (
    "float32", "float16", "float64", "int8", "uint8", "int16", "uint16",
    "int32", "uint32", "int64", "uint64", "bool",
)  # fmt: skip
"""In the order of ep_dtype."""


class Op(ctypes.Structure):
    """ep_op."""

    _fields_ = (
        ("run", ctypes.c_void_p),
        ("args", ctypes.c_void_p),
        ("arg_count", ctypes.c_uint32),
        ("max_parts", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
    )


class Io(ctypes.Structure):
    """ep_io."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_uint32),
        ("rank", ctypes.c_uint32),
        ("shape", ctypes.c_int64 * MAX_RANK),
        ("bytes", ctypes.c_uint64),
    )


class Model(ctypes.Structure):
    """ep_model."""

    _fields_ = (
        ("abi", ctypes.c_uint32),
        ("op_count", ctypes.c_uint32),
        ("input_count", ctypes.c_uint32),
        ("output_count", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("ops", ctypes.POINTER(Op)),
        ("inputs", ctypes.POINTER(Io)),
        ("outputs", ctypes.POINTER(Io)),
        ("arena_bytes", ctypes.c_uint64),
        ("weights_bytes", ctypes.c_uint64),
        ("max_args", ctypes.c_uint32),
    )


class Tensor(ctypes.Structure):
    """ep_tensor."""

    _fields_ = (("data", ctypes.c_void_p), ("bytes", ctypes.c_uint64))


class State(ctypes.Structure):
    """ep_state."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("weights_bytes", ctypes.c_uint64),
        ("arena", ctypes.c_void_p),
        ("arena_bytes", ctypes.c_uint64),
    )


class Hooks(ctypes.Structure):
    """ep_hooks."""

    _fields_ = (
        ("context", ctypes.c_void_p),
        ("threads", ctypes.c_uint32),
        ("parallel", ctypes.c_void_p),
        ("layer", ctypes.c_void_p),
    )


class Tables(NamedTuple):
    """A compiled model's tables: tensors and layers in the model's order, sizes in bytes."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[str, ...]
    arena_bytes: int
    weights_bytes: int


def read_tables(address: int) -> Tables:
    """Read the tables of the model at an address of this process.

    Raises:
        BundleError: there is no model, it is of another version, or its tables contradict themselves.
    """
    if not address:
        raise BundleError("the library has no model; build the bundle again")
    model = Model.from_address(address)
    if model.abi != ABI:
        raise BundleError(
            f"the library has version {model.abi} of the interface and this is version {ABI}; build it again"
        )
    if max(model.op_count, model.input_count, model.output_count) > MOST or model.arena_bytes > 1 << 40:
        raise BundleError("the library's tables are larger than any model's; build it again")
    return Tables(
        _text(model.name),
        tuple(_tensor(model.inputs[i]) for i in range(model.input_count)),
        tuple(_tensor(model.outputs[i]) for i in range(model.output_count)),
        tuple(_text(model.ops[i].name) for i in range(model.op_count)),
        int(model.arena_bytes),
        int(model.weights_bytes),
    )


def _tensor(entry: Io) -> TensorSpec:
    if entry.dtype >= len(ELEMENT_TYPES) or entry.rank > MAX_RANK:
        raise BundleError("a tensor in the library's tables has no valid type or shape; build it again")
    spec = TensorSpec(_text(entry.name), tuple(entry.shape[: entry.rank]), ELEMENT_TYPES[entry.dtype])
    if any(extent < 0 for extent in spec.shape) or spec.bytes != entry.bytes:
        raise BundleError(
            f"the tensor {spec.name} has another size than its table says; build the bundle again"
        )
    return spec


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace")
