"""Read `ep_model` out of an emulated process's memory, byte by byte as ep.h lays it out."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from edgepress.errors import BundleError
from edgepress.hardware.emulator.layout import POINTERS_64, Layout
from edgepress.runtimes.native_table import ABI, ELEMENT_TYPES, MAX_RANK, MOST
from edgepress.tensor import TensorSpec

Read = Callable[[int, int], bytes]
"""Address and count to bytes."""


@dataclass(frozen=True)
class ModelTable:
    """A compiled model's tables.

    Attributes:
        name: the model's name.
        inputs, outputs: in the model's order.
        layers: the ops' names, in the order they run.
        arena_bytes, weights_bytes: how much memory a run needs.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[str, ...]
    arena_bytes: int
    weights_bytes: int


def read_model_table(read: Read, address: int, layout: Layout = POINTERS_64) -> ModelTable:
    """Read the tables of the model at ``address``.

    Raises:
        BundleError: the tables are of another version of the interface, or contradict themselves.
    """
    abi, ops, inputs, outputs, name, op_at, input_at, output_at, arena, weights, _ = struct.unpack(
        layout.model, read(address, struct.calcsize(layout.model))
    )
    if abi != ABI:
        raise BundleError(
            f"the library has version {abi} of the interface and this is version {ABI}; build it again"
        )
    if max(ops, inputs, outputs) > MOST or max(arena, weights) > 1 << 40:
        raise BundleError("the library's tables are larger than any model's; build it again")
    op_bytes, io_bytes = struct.calcsize(layout.op), struct.calcsize(layout.io)
    layers = []
    for i in range(ops):
        *_, text = struct.unpack(layout.op, read(op_at + i * op_bytes, op_bytes))
        layers.append(_text(read, text))
    return ModelTable(
        _text(read, name),
        tuple(_tensor(read, input_at + i * io_bytes, layout) for i in range(inputs)),
        tuple(_tensor(read, output_at + i * io_bytes, layout) for i in range(outputs)),
        tuple(layers),
        arena,
        weights,
    )


def _tensor(read: Read, address: int, layout: Layout) -> TensorSpec:
    name, dtype, rank, *rest = struct.unpack(layout.io, read(address, struct.calcsize(layout.io)))
    shape, size = tuple(rest[:rank]), rest[MAX_RANK]
    if dtype >= len(ELEMENT_TYPES) or rank > MAX_RANK or any(extent < 0 for extent in shape):
        raise BundleError("a tensor in the library's tables has no valid type or shape; build it again")
    spec = TensorSpec(_text(read, name), shape, ELEMENT_TYPES[dtype])
    if spec.bytes != size:
        raise BundleError(
            f"the tensor {spec.name} has {spec.bytes} bytes and its table says {size}; build it again"
        )
    return spec


def _text(read: Read, address: int) -> str:
    """A C string, at most 4095 bytes; read in small pieces because what follows may not be mapped."""
    if address == 0:
        return ""
    out = bytearray()
    while len(out) < 4096:
        piece = read(address + len(out), min(64 - (address + len(out)) % 64, 64))
        end = piece.find(0)
        if end >= 0:
            return (bytes(out) + piece[:end]).decode("utf-8", "replace")
        out += piece
    raise BundleError("a name in the library's tables does not end; build it again")
