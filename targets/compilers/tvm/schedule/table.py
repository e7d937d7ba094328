"""Bytes looked up in a table of 256 that lies in registers.

A processor's own look-up takes a part of a byte's bits; the others choose between its results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, is_load, loads, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.dot import intrinsic
from edgepress.targets.compilers.tvm.stages import Nest

_ENTRIES = 256


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """A look-up of every byte of one buffer, or None where the nest is something else."""
    value = nest.stage.value
    if nest.anchor is not None or machine.look_up not in _LOOK_UPS or not is_load(value):
        return None
    table, inner = value.source, [load for load in loads(value) if not load.same_as(value)]
    if shape_of(table) != (_ENTRIES,) or len(inner) != 1 or not _bytes(table) or not _bytes(inner[0].source):
        return None
    source = inner[0]
    in_order = [i.same_as(axis.var) for i, axis in zip(source.indices, nest.stage.spatial, strict=False)]
    if not nest.stage.plain or not all(in_order) or shape_of(source.source) != shape_of(nest.stage.buffer):
        return None
    count = 1
    for extent in shape_of(source.source):
        count *= extent
    pieces, width, look_up = _LOOK_UPS[machine.look_up](machine)
    whole, tail = divmod(count, width)
    statements: list[Any] = []
    entries: list[Expr] = []
    size = _ENTRIES // pieces
    for piece in range(pieces):
        part = tirx.Var(f"t{piece}", f"int8x{size}")
        entries.append(part)
        statements.append(tirx.Bind(part, _signed(frame.vector(table, const(piece * size), size))))
    if whole:
        part = frame.axis("i", whole)
        read = tirx.Var("x", f"int8x{width}")
        found = look_up(entries, read)
        if dtype_of(nest.stage.buffer) == "uint8":
            found = tirx.reinterpret(f"uint8x{width}", found)
        body = sequence(
            [
                tirx.Bind(read, _signed(frame.vector(source.source, part * const(width), width))),
                frame.put_flat(part * const(width), found),
            ]
        )
        end = tirx.min(frame.end, const(whole))
        statements.append(tirx.For(part, frame.begin, end - frame.begin, tirx.ForKind.SERIAL, body))
    if tail:
        rest = frame.axis("i", tail)
        place = tirx.Cast("uint8", frame.element(source.source, rest + const(whole * width)))
        one = frame.put_flat(rest + const(whole * width), frame.element(table, tirx.Cast("int32", place)))
        last = tirx.EQ(frame.end, const(whole + 1))
        statements.append(tirx.IfThenElse(last, loop(rest, tail, one), None))
    return Body(sequence(statements), whole + bool(tail))


def _bytes(buffer: Any) -> bool:
    return dtype_of(buffer) in ("int8", "uint8")


def _signed(value: Expr) -> Expr:
    lanes = int(value.ty.dtype.lanes)
    return value if str(value.ty.dtype).startswith("int8") else tirx.reinterpret(f"int8x{lanes}", value)


LookUp = Callable[[list[Expr], Expr], Expr]


def _vbmi(machine: Machine) -> tuple[int, int, LookUp]:
    """Two permutations of 128 entries each, by the low seven bits; the top bit chooses."""

    def look_up(table: list[Expr], x: Expr) -> Expr:
        def half(first: int) -> Expr:
            name = "llvm.x86.avx512.vpermi2var.qi.512"
            return intrinsic("int8x64", name, table[first], x, table[first + 1])

        return tirx.Select(x < _all(0, 64), half(2), half(0))

    return 4, 64, look_up


def _pshufb(machine: Machine) -> tuple[int, int, LookUp]:
    """Sixteen shuffles of 16 entries: each gives zero where the high four bits are another's."""
    lanes = 4 * machine.lanes
    name = {32: "llvm.x86.avx2.pshuf.b", 64: "llvm.x86.avx512.pshuf.b.512"}[lanes]

    def look_up(table: list[Expr], x: Expr) -> Expr:
        total: Expr = None
        for piece, entries in enumerate(table):
            wide = tirx.Shuffle([entries] * (lanes // 16), [const(i % 16) for i in range(lanes)])
            # Bytes of this piece become 0x70 to 0x7f, all others have their top bit set.
            turned = tirx.bitwise_xor(x, _all(piece << 4, lanes))
            held = intrinsic(f"int8x{lanes}", f"llvm.uadd.sat.v{lanes}i8", turned, _all(0x70, lanes))
            found = intrinsic(f"int8x{lanes}", name, wide, held)
            total = found if total is None else tirx.bitwise_or(total, found)
        return total

    return 16, lanes, look_up


def _tbl(machine: Machine) -> tuple[int, int, LookUp]:
    """Four look-ups of 64 entries; a byte outside one's entries keeps what the one before gave."""

    def look_up(table: list[Expr], x: Expr) -> Expr:
        found = intrinsic("int8x16", "llvm.aarch64.neon.tbl4.v16i8", *table[:4], x)
        for first in (4, 8, 12):
            moved = tirx.bitwise_xor(x, _all(16 * first, 16))
            found = intrinsic(
                "int8x16", "llvm.aarch64.neon.tbx4.v16i8", found, *table[first : first + 4], moved
            )
        return found

    return 16, 16, look_up


def _all(value: int, lanes: int) -> Expr:
    return tirx.Broadcast(tirx.IntImm("int8", value - 256 if value > 127 else value), lanes)


_LOOK_UPS: dict[str, Callable[[Machine], tuple[int, int, LookUp]]] = {
    "vbmi": _vbmi,
    "pshufb": _pshufb,
    "tbl": _tbl,
}
