"""The weights of quantised sums as registers: read as they lie, or four steps of the sum from one read of two bits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, calls, const, is_load, loads
from edgepress.targets.compilers.tvm.packing2 import FIELDS
from edgepress.targets.compilers.tvm.stages import GAIN, Stage


@dataclass(frozen=True)
class Columns:
    """How the weights of one operator become eight-bit registers.

    Attributes:
        gain: 0 where weights lie as bytes; else they are folded, and what they are multiplied by: 1 or 64.
        depth: neighbouring inputs of a column.
        tiles: of rows, from which it pays to unfold a panel for all of them.
    """

    gain: int
    depth: int
    tiles: int = 3

    @property
    def run(self) -> int:
        """Inputs that one read covers."""
        return FIELDS * self.depth if self.gain else self.depth

    @property
    def dtype(self) -> str:
        """The type of weights in memory."""
        return "uint8" if self.gain else "int8"

    def register(self, held: Expr, step: int) -> Expr:
        """A read as bytes: the weights ``step`` inputs on in its run."""
        if not self.gain:
            return held
        field, lanes = step // self.depth, int(held.ty.dtype.lanes)
        up = 2 * (FIELDS - 1 - field)
        if lanes == 1:
            word = tirx.shift_left(tirx.Cast("uint32", held), tirx.const(24 + up, "uint32"))
            return tirx.shift_right(tirx.reinterpret("int32", word), const(30))
        top = tirx.shift_left(held, _every("uint8", up, lanes)) if up else held
        if self.gain > 1:
            high = tirx.bitwise_and(top, _every("uint8", 0xC0, lanes)) if field else top
            return tirx.reinterpret(f"int8x{lanes}", high)
        return tirx.shift_right(tirx.reinterpret(f"int8x{lanes}", top), _every("int8", 6, lanes))


def _every(dtype: str, value: int, lanes: int) -> Expr:
    return tirx.Broadcast(tirx.IntImm(dtype, value), lanes)


def columns_of(stage: Stage, depth: int, tiles: int = 3) -> tuple[Stage, Columns]:
    """How a stage's weights are read, and the stage with their bytes in place of what is made of them."""
    gain = int(stage.notes.get(GAIN, 0))
    value = stage.value
    if not gain or not isinstance(value, tirx.Add):
        return stage, Columns(0, depth)
    own, product = (value.a, value.b) if is_load(value.a) else (value.b, value.a)
    if not isinstance(product, tirx.Mul):
        return stage, Columns(0, depth)
    sides = [product.a, product.b]
    weight = next((i for i, side in enumerate(sides) if calls(side)), None)
    if weight is None:
        return stage, Columns(0, depth)
    (load,) = loads(sides[weight])
    sides[weight] = tirx.Cast("int32", load)
    return replace(stage, value=tirx.Add(own, tirx.Mul(*sides))), Columns(gain, depth, tiles)


BYTES = Columns(0, 1)
