"""The instructions that sum neighbouring products of eight-bit numbers, one entry a family.

Each says how a row's inputs are read and spread over the columns of a register, and how a register
of weights times them is added to the sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.registers import pieces

Load = Callable[[int, int], Expr]  # (distance, elements) → a vector of activations
Bound = Callable[[Expr], Expr]  # gives a value a name
Spread = Callable[[int], list[Expr]]  # group → its inputs in every column, one register or two

_SHORT = 64  # products of a sum up to which rounding weighs: a small tile's overlaps the next one's products


@dataclass(frozen=True)
class Short:
    """Sums of products by ternary weights in 16 bits, which become whole ones now and then.

    Attributes:
        most: inputs of a sum after which it must become a whole one.
        add: as a family's, for sums of 16 bits, twice as many as whole ones.
        whole: (sums, short sums) → both together.
    """

    most: int
    add: Callable[[Expr, list[Expr], list[Expr]], Expr]
    whole: Callable[[Expr, Expr], Expr]


@dataclass(frozen=True)
class Dot:
    """One family.

    Attributes:
        depth: how many inputs a column's sum takes at once.
        rows: the type that activations must have.
        step: inputs of one trip of the loop.
        group: how many depths ``add`` takes at once.
        by_element: whether spreading costs no instruction of its own.
        tile_rows: the most rows of a tile, from the machine, the panel and the products of a sum.
        read: (load, count, lanes, flip, bound) → how ``count`` inputs of a row are spread.
        add: (sums, spread inputs, weights) → sums.
        weights: a register of weights as ``add`` takes it.
        tiles: of rows, from which folded weights are unfolded for all of them: where shifts run beside the
            multiply-adds, only so many that it costs nothing either.
        short: how ternary weights are summed in 16 bits, where that takes fewer instructions.
    """

    depth: int
    rows: str
    step: int
    group: int
    by_element: bool
    tile_rows: Callable[[Machine, int, int], int]
    read: Callable[[Load, int, int, bool, Bound], Spread]
    add: Callable[[Expr, list[Expr], list[Expr]], Expr]
    weights: Callable[[Expr], list[Expr]] = lambda value: [value]
    tiles: int = 3
    short: Short | None = None


def intrinsic(dtype: str, name: str, *args: Expr) -> Expr:
    """A call of an LLVM intrinsic."""
    return tirx.call_llvm_pure_intrin(dtype, name, *args)


def flipped(value: Expr, flip: bool) -> Expr:
    """The top bit of each byte turned over: eight-bit numbers moved by 128, and named by the other type."""
    if not flip:
        return value
    lanes = int(value.ty.dtype.lanes)
    words = lanes // 4
    kind = f"int32x{words}" if words > 1 else "int32"
    mask = tirx.Broadcast(const(-0x7F7F7F80), words) if words > 1 else const(-0x7F7F7F80)
    return tirx.reinterpret(f"int8x{lanes}", tirx.bitwise_xor(tirx.reinterpret(kind, value), mask))


def _quads(load: Load, count: int, lanes: int, flip: bool, bound: Bound) -> Spread:
    """Four inputs at a time, read as one word and spread."""

    def spread(group: int) -> Expr:
        word = tirx.reinterpret("int32", flipped(load(4 * group, 4), flip))
        return [bound(tirx.reinterpret(f"int8x{4 * lanes}", tirx.Broadcast(word, lanes)))]

    return spread


def _lanes(load: Load, count: int, depth: int, flip: bool, bound: Bound) -> Callable[[int], Expr]:
    """Inputs read in registers of 16, 8 or 4; a group of ``depth`` is one lane of them."""
    held: dict[int, tuple[Expr, int]] = {}
    for at, size in pieces(count, 16):
        lanes = size // depth
        kind = f"int{8 * depth}" + (f"x{lanes}" if lanes > 1 else "")
        value = bound(tirx.reinterpret(kind, flipped(load(at, size), flip)))
        for lane in range(lanes):
            held[at // depth + lane] = (value, lane)

    def lane_of(group: int) -> Expr:
        value, lane = held[group]
        return tirx.Shuffle([value], [const(lane)]) if int(value.ty.dtype.lanes) > 1 else value

    return lane_of


def _lanes_of(load: Load, count: int, lanes: int, flip: bool, bound: Bound) -> Spread:
    """Four inputs at a time, by lane of a register."""
    lane_of = _lanes(load, count, 4, flip, bound)
    return lambda group: [tirx.reinterpret(f"int8x{4 * lanes}", tirx.Broadcast(lane_of(group), lanes))]


def _pairs_of(load: Load, count: int, lanes: int, flip: bool, bound: Bound) -> Spread:
    """Two inputs at a time, spread from a lane of a register."""
    lane_of = _lanes(load, count, 2, flip, bound)
    return lambda group: [bound(tirx.reinterpret(f"int8x{2 * lanes}", tirx.Broadcast(lane_of(group), lanes)))]


def quad_sums(acc: Expr, unsigned: Expr, signed: Expr) -> Expr:
    """Four products of bytes added to each lane: x86's ``vpdpbusd``."""
    bits = 32 * int(acc.ty.dtype.lanes)
    return intrinsic(str(acc.ty.dtype), f"llvm.x86.avx512.vpdpbusd.{bits}", acc, unsigned, signed)


def _vpdpbusd(acc: Expr, x: list[Expr], w: list[Expr]) -> Expr:
    return quad_sums(acc, x[0], w[0])


def _sdot(acc: Expr, x: list[Expr], w: list[Expr]) -> Expr:
    return intrinsic("int32x4", "llvm.aarch64.neon.sdot", acc, w[0], x[0])


def _smull(acc: Expr, x: list[Expr], w: list[Expr]) -> Expr:
    return _pairs_added(acc, _smull_short(None, x, w))


def _smull_short(total: Expr, x: list[Expr], w: list[Expr]) -> Expr:
    for each, weight in zip(x, w, strict=True):
        product = tirx.Cast("int16x8", each) * tirx.Cast("int16x8", weight)
        total = product if total is None else total + product
    return total


def _pairs_added(acc: Expr, total: Expr) -> Expr:
    return acc + intrinsic("int32x4", "llvm.aarch64.neon.saddlp.v4i32.v8i16", total)


def smull_apart(acc: Expr, x: list[Expr], w: list[Expr]) -> Expr:
    """As ``smull``, for weights of −128 too: no two products are summed in 16 bits."""
    for each, weight in zip(x, w, strict=True):
        acc = _smull(acc, [each], [weight])
    return acc


# By the lanes of a register of sums.
_WORDS = {16: "avx512.pmaddw.d.512", 8: "avx2.pmadd.wd", 4: "sse2.pmadd.wd"}
_PAIRS = {16: "avx512.pmaddubs.w.512", 8: "avx2.pmadd.ub.sw", 4: "ssse3.pmadd.ub.sw.128"}


def _vpmaddwd(acc: Expr, x: list[Expr], w: list[Expr]) -> Expr:
    lanes = int(acc.ty.dtype.lanes)
    for each, weight in zip(x, w, strict=True):
        acc = acc + intrinsic(f"int32x{lanes}", f"llvm.x86.{_WORDS[lanes]}", each, weight)
    return acc


def pair_sums(unsigned: Expr, signed: Expr) -> Expr:
    """Sums of two products of bytes, in 16 bits and held inside them: x86's ``vpmaddubsw``."""
    lanes = int(unsigned.ty.dtype.lanes)
    return intrinsic(f"int16x{lanes // 2}", f"llvm.x86.{_PAIRS[lanes // 4]}", unsigned, signed)


def word_sums(pairs: Expr) -> Expr:
    """Sums of two neighbours of 16 bits, in 32."""
    lanes = int(pairs.ty.dtype.lanes)
    ones = tirx.Broadcast(tirx.IntImm("int16", 1), lanes)
    return intrinsic(f"int32x{lanes // 2}", f"llvm.x86.{_WORDS[lanes // 2]}", pairs, ones)


def _vpmaddubsw(acc: Expr, x: list[Expr], w: list[Expr]) -> Expr:
    return _words_added(acc, pair_sums(x[0], w[0]))


def _vpmaddubsw_short(acc: Expr, x: list[Expr], w: list[Expr]) -> Expr:
    return acc + pair_sums(x[0], w[0])


def _words_added(acc: Expr, pairs: Expr) -> Expr:
    return acc + word_sums(pairs)


def _halves(value: Expr, signed: bool) -> list[Expr]:
    """Bytes as 16-bit numbers: those at even places, and those at odd ones."""
    lanes = int(value.ty.dtype.lanes) // 2
    kind, eight = f"int16x{lanes}", tirx.Broadcast(tirx.IntImm("int16", 8), lanes)
    words = tirx.reinterpret(kind, value)
    if signed:
        return [tirx.shift_right(tirx.shift_left(words, eight), eight), tirx.shift_right(words, eight)]
    mask = tirx.Broadcast(tirx.IntImm("int16", 255), lanes)
    return [tirx.bitwise_and(words, mask), tirx.bitwise_and(tirx.shift_right(words, eight), mask)]


def _halved_quads(load: Load, count: int, lanes: int, flip: bool, bound: Bound) -> Spread:
    quads = _quads(load, count, lanes, flip, bound)
    return lambda group: [bound(half) for half in _halves(quads(group)[0], False)]


def _fitting(spare: int, most: int, short: int = 0) -> Callable[[Machine, int, int], int]:
    """As many rows as fit beside ``spare`` registers; ``short`` of them, if given, where sums are short."""

    def rows(machine: Machine, panel: int, terms: int) -> int:
        vectors = panel // machine.lanes
        fitting = min(most, (machine.registers - spare) // vectors)
        return max(1, min(fitting, short) if short and terms <= _SHORT else fitting)

    return rows


def _signed_halves(value: Expr) -> list[Expr]:
    return _halves(value, True)


# Two products by 1 or −1 are 510 at most, and one is 128: 64 and 255 of them fit 16 bits.
_TERNARY_PAIRS = Short(4 * 64, _vpmaddubsw_short, _words_added)
_TERNARY_ONES = Short(2 * 255, _smull_short, _pairs_added)

DOTS: dict[str, Dot] = {
    "vpdpbusd": Dot(4, "uint8", 8, 1, False, _fitting(4, 8), _quads, _vpdpbusd, tiles=32),
    "sdot": Dot(4, "int8", 16, 1, True, _fitting(8, 6), _lanes_of, _sdot),
    "smull": Dot(2, "int8", 16, 2, False, _fitting(16, 4), _pairs_of, _smull, short=_TERNARY_ONES),
    "vpmaddubsw": Dot(4, "uint8", 8, 1, False, _fitting(6, 12, 2), _quads, _vpmaddubsw, short=_TERNARY_PAIRS),
    "vpmaddwd": Dot(4, "uint8", 8, 1, False, _fitting(8, 12), _halved_quads, _vpmaddwd, _signed_halves),
}
