"""Sums to eight-bit outputs, several registers at a time, by the target's own narrowing instructions.

A nest is recognised by its value ``cast(rne(clamp(f32(sum + bias) · scale)) + zero)`` and by the mark
that no scaled sum leaves 31 bits, so that rounding may come before clamping: the same number, by
instructions that saturate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import ir, tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, is_load
from edgepress.targets.compilers.tvm.kernel import Frame
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.registers import pieces
from edgepress.targets.compilers.tvm.stages import BOUNDED, GROUPS, Nest

_MAGIC = 0x4B400000


@dataclass(frozen=True)
class Requantise:
    """``saturate(rne(f32(sum + bias) · scale) + zero)``, the reads of bias and scale being the nest's own."""

    bias: Any
    scale: Any
    low: int
    high: int
    zero: int
    dtype: str
    arch: str

    def rounded(self, acc: Expr, scale: Expr) -> Expr:
        """One register of sums as whole output steps, without the zero point."""
        lanes = int(acc.ty.dtype.lanes)
        real = tirx.Cast(f"float32x{lanes}", acc) * scale
        if self.arch == "aarch64":
            return nearest(real)
        if lanes == 16:
            none = tirx.Broadcast(const(0), 16)
            every = tirx.IntImm("int16", -1)
            return _call("int32x16", "llvm.x86.avx512.mask.cvtps2dq.512", real, none, every, const(4))
        name = "avx.cvt.ps2dq.256" if lanes == 8 else "sse2.cvtps2dq"
        return _call(f"int32x{lanes}", f"llvm.x86.{name}", real)

    def bytes_of(self, steps: list[Expr]) -> Expr:
        """Four registers of steps as one of bytes, in the order :func:`order` gives."""
        lanes = int(steps[0].ty.dtype.lanes)
        if self.arch == "aarch64":
            words = _words(steps)
        else:
            words = [self._packed("packssdw", f"int16x{2 * lanes}", *steps[i : i + 2]) for i in (0, 2)]
        if self.zero:
            many = 2 * lanes
            zero = tirx.Broadcast(tirx.IntImm("int16", self.zero), many)
            words = [_call(f"int16x{many}", f"llvm.sadd.sat.v{many}i16", word, zero) for word in words]
        info = np.iinfo(self.dtype)
        unsigned = info.min == 0
        # Bounds inside the type's are held before the bytes are packed: LLVM 22 does not end on bytes
        # that are packed, bounded and put in order for AVX-512 without VBMI.
        for bound, natural, pick in ((self.high, info.max, tirx.min), (self.low, info.min, tirx.max)):
            if bound != natural:
                words = [pick(w, tirx.Broadcast(tirx.IntImm("int16", bound), 2 * lanes)) for w in words]
        if self.arch == "aarch64":
            packed = _narrowed(words, unsigned)
        else:
            packed = self._packed("packuswb" if unsigned else "packsswb", f"int8x{4 * lanes}", *words)
        if unsigned:
            packed = tirx.reinterpret(f"uint8x{4 * lanes}", packed)
        return packed

    @staticmethod
    def _packed(name: str, dtype: str, a: Expr, b: Expr) -> Expr:
        bits = int(a.ty.dtype.lanes) * int(a.ty.dtype.bits)
        full = {128: f"sse2.{name}.128", 256: f"avx2.{name}", 512: f"avx512.{name}.512"}[bits]
        return _call(dtype, f"llvm.x86.{full}", a, b)

    def put(self, frame: Frame, where: Mapping[Any, Expr], value: Expr) -> Any:
        """The statement that stores neighbouring outputs."""
        return frame.put_vector(where, value)

    def in_order(self, packed: Expr) -> Expr:
        """What :meth:`bytes_of` gives with the registers' bytes one register after another."""
        lanes = int(packed.ty.dtype.lanes) // 4
        if self.arch == "aarch64":
            return packed
        words = tirx.reinterpret(f"int32x{lanes}", packed)
        quads = lanes // 4
        moved = tirx.Shuffle([words], [const(4 * (i % quads) + i // quads) for i in range(lanes)])
        return tirx.reinterpret(f"{self.dtype}x{4 * lanes}", moved)


def nearest(real: Expr) -> Expr:
    """Numbers as the whole ones nearest to them, halves to even ones, by 64-bit Arm's instruction."""
    lanes = int(real.ty.dtype.lanes)
    return _call(f"int32x{lanes}", f"llvm.aarch64.neon.fcvtns.v{lanes}i32.v{lanes}f32", real)


def saturated(four: list[Expr]) -> Expr:
    """Four registers of int32 as one of int8, held inside its range, on 64-bit Arm."""
    return _narrowed(_words(four), False)


def _words(four: list[Expr]) -> list[Expr]:
    halves = [_call("int16x4", "llvm.aarch64.neon.sqxtn.v4i16", each) for each in four]
    return [tirx.Shuffle([halves[i], halves[i + 1]], [const(j) for j in range(8)]) for i in (0, 2)]


def _narrowed(words: list[Expr], unsigned: bool) -> Expr:
    name = f"llvm.aarch64.neon.{'sqxtun' if unsigned else 'sqxtn'}.v8i8"
    return tirx.Shuffle([_call("int8x8", name, word) for word in words], [const(j) for j in range(16)])


def _call(dtype: str, name: str, *args: Expr) -> Expr:
    return tirx.call_llvm_pure_intrin(dtype, name, *args)


def gathered(
    frame: Frame, load: Any, where: Mapping[Any, Expr], count: int, lanes: int, offset: Expr = None
) -> Expr:
    """``count`` neighbouring elements in the first lanes of a register; the others hold any number.

    ``offset`` is where they begin, if known.
    """
    if offset is None:
        offset = frame.load_offset(load, where)
    runs = [
        (frame.vector(load.source, frame.simplify(offset + const(at)), length), at, length)
        for at, length in pieces(count, lanes)
    ]
    if count == lanes and len(runs) == 1:
        return runs[0][0]
    whole: Expr = None
    for value, first, length in runs:
        wide = tirx.Broadcast(value, lanes) if length == 1 else None
        if wide is None:
            wide = tirx.Shuffle(
                [value] * (lanes // length), [const((i - first) % length) for i in range(lanes)]
            )
        if whole is None:
            whole = wide
        else:
            mine = [const(i if i < first else lanes + i) for i in range(lanes)]
            whole = tirx.Shuffle([whole, wide], mine)
    return whole


def sliced(value: Expr, first: int, count: int) -> Expr:
    """``count`` lanes of a vector from ``first`` on."""
    if count == int(value.ty.dtype.lanes):
        return value
    return tirx.Shuffle([value], [const(first + i) for i in range(count)])


def read_requantise(nest: Nest, machine: Machine) -> Requantise | None:
    """How a nest requantises its sums, or None where it stores something else."""
    anchor = nest.anchor
    if anchor is None or not anchor.notes.get(BOUNDED) or machine.arch not in ("aarch64", "x86_64"):
        return None
    if machine.arch == "x86_64" and machine.lanes not in (8, 16):
        return None
    value = nest.stage.value
    if not isinstance(value, tirx.Cast) or not isinstance(value.value, tirx.Sub):
        return None
    dtype, bits = dtype_of(value), value.value
    if not isinstance(bits.b, tirx.IntImm) or not isinstance(bits.a, ir.Call):
        return None
    zero = _MAGIC - int(bits.b)
    shifted = bits.a.args[-1]
    if not isinstance(shifted, tirx.Add) or not isinstance(shifted.b, tirx.FloatImm):
        return None
    held = shifted.a
    if not isinstance(held, tirx.Max) or not isinstance(held.b, tirx.FloatImm):
        return None
    low, capped = int(held.b.value), held.a
    if not isinstance(capped, tirx.Min) or not isinstance(capped.b, tirx.FloatImm):
        return None
    high, real = int(capped.b.value), capped.a
    if not isinstance(real, tirx.Mul) or not is_load(real.b) or not isinstance(real.a, tirx.Cast):
        return None
    total = real.a.value
    if not isinstance(total, tirx.Add) or not is_load(total.a) or not is_load(total.b):
        return None
    if not total.a.source.same_as(anchor.buffer) or total.b.source.same_as(anchor.buffer):
        return None
    if not (nest.stage.plain or GROUPS in anchor.notes) or dtype not in ("int8", "uint8"):
        return None
    return Requantise(total.b, real.b, low + zero, high + zero, zero, dtype, machine.arch)
