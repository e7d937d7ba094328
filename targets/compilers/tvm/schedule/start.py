"""What a sum may start at instead of zero: the biases that are added to it afterwards.

Residuals are added last, as the graph says: a sum that started at one would round at its magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tvm_ffi
from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, dtype_of, is_load, loads, uses
from edgepress.targets.compilers.tvm.kernel import Frame
from edgepress.targets.compilers.tvm.stages import Nest, Stage


@dataclass(frozen=True)
class Start:
    """A nest's value without the summands that its sum starts at.

    Attributes:
        value: what is stored, in terms of the sum.
        summands: buffer reads over the nest's spatial axes; none where the sum starts at zero.
    """

    value: Expr
    summands: tuple[Expr, ...]


def start_of(nest: Nest) -> Start:
    """Take summands out of the stored value as long as they are added to the bare sum, everywhere."""
    anchor = nest.anchor
    assert anchor is not None
    value, summands = nest.stage.value, []
    zero = isinstance(anchor.init, tirx.FloatImm) and float(anchor.init.value) == 0.0
    while zero:
        found = [(add, other) for add in _adds(value) if (other := _beside(add, anchor)) is not None]
        reads = [load for load in loads(value) if load.source.same_as(anchor.buffer)]
        if not found or len(found) != len(reads):
            break
        summand = found[0][1]
        if not all(tvm_ffi.structural_equal(summand, other) for _, other in found):
            break
        value = _without(value, found)
        summands.append(summand)
    return Start(value, tuple(summands))


def _adds(expr: Expr) -> list[Any]:
    found: list[Any] = []
    tvm_ffi.structural_walk(expr, (tirx.Add, lambda add: found.append(add)), order="post")
    return found


def _beside(add: Any, anchor: Stage) -> Expr | None:
    """The fp32 read, the same for every row, that is added to the bare sum, or None."""
    for own, other in ((add.a, add.b), (add.b, add.a)):
        if not (is_load(own) and own.source.same_as(anchor.buffer) and is_load(other)):
            continue
        rows = [axis for axis in anchor.spatial[:-1] if axis.extent > 1]
        if other.source.same_as(anchor.buffer) or dtype_of(other) != "float32":
            return None
        return None if any(uses(index, axis.var) for index in other.indices for axis in rows) else other
    return None


def _without(value: Expr, found: list[tuple[Any, Expr]]) -> Expr:
    """The value with each found addition replaced by its bare sum; additions around it stay."""

    def change(add: Any) -> Any:
        for own, other in found:
            if add.same_as(own):
                return own.b if own.a.same_as(other) else own.a
        return add

    return tvm_ffi.structural_map(value, (tirx.Add, change))


def started(frame: Frame, start: Start, variables: Mapping[Any, Expr]) -> Expr:
    """The value a sum starts at."""
    total: Expr = tirx.FloatImm("float32", 0.0)
    for position, summand in enumerate(start.summands):
        value = frame.value(summand, variables)
        total = value if position == 0 else total + value
    return total
