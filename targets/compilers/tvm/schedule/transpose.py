"""Channels put first or last: squares of a matrix, transposed in registers."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, is_load, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.stages import Nest, Stage

_LEAST = 4  # lanes of a square from which it is worth its shuffles
_BYTES = 16  # lanes of a square of bytes
_DTYPES = ("float32", "int8", "uint8")


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """The kernel, or None where the nest is no such copy or the matrix is smaller than a square."""
    sizes = _matrix(nest.stage) if nest.anchor is None else None
    if sizes is None or machine.lanes < _LEAST:
        return None
    images, rows, columns = sizes
    dtype = dtype_of(nest.stage.buffer)
    lanes = machine.lanes if dtype == "float32" else _BYTES
    while lanes > min(rows, columns):
        lanes //= 2
    if lanes < _LEAST:
        return None
    source = nest.stage.value.source
    down, across = -(-rows // lanes), -(-columns // lanes)
    part, block = frame.axis("r", images * across), frame.axis("c", down)
    row, column = frame.axis("y", rows - lanes + 1), frame.axis("x", columns - lanes + 1)
    image = frame.simplify(tirx.floordiv(part, const(across)))
    # The last squares overlap the ones before them, so that no smaller ones are needed.
    last = frame.simplify(tirx.floormod(part, const(across)) * const(lanes))
    bound = tirx.Bind(column, tirx.min(last, const(columns - lanes)))
    statements = [tirx.Bind(row, frame.simplify(tirx.min(block * const(lanes), const(rows - lanes))))]

    def named(value: Expr) -> Expr:
        var = tirx.Var("x", f"{dtype}x{lanes}")
        statements.append(tirx.Bind(var, value))
        return var

    vectors = []
    for i in range(lanes):
        at = frame.simplify((image * const(rows) + row + const(i)) * const(columns) + column)
        vectors.append(named(frame.vector(source, at, lanes)))
    step = lanes // 2
    while step:
        # Quarters of squares of 2·step change places across the diagonal.
        low = [const(i if i % (2 * step) < step else lanes + i - step) for i in range(lanes)]
        high = [const(i + step if i % (2 * step) < step else lanes + i) for i in range(lanes)]
        for i in range(lanes):
            if i % (2 * step) < step:
                pair = [vectors[i], vectors[i + step]]
                vectors[i], vectors[i + step] = (named(tirx.Shuffle(pair, order)) for order in (low, high))
        step //= 2
    for i, value in enumerate(vectors):
        at = frame.simplify((image * const(columns) + column + const(i)) * const(rows) + row)
        statements.append(frame.put_at(at, value))
    return Body(
        frame.part_loop(part, sequence([bound, loop(block, down, sequence(statements))])), images * across
    )


def _matrix(stage: Stage) -> tuple[int, int, int] | None:
    """How many matrices a stage transposes, their rows and columns as they are read; None for other stages."""
    value, rank = stage.value, len(stage.axes)
    if not stage.plain or rank < 3 or dtype_of(stage.buffer) not in _DTYPES or not is_load(value):
        return None
    if dtype_of(value.source) != dtype_of(stage.buffer) or len(value.indices) != rank:
        return None
    axes = [axis.var for axis in stage.spatial]
    first, last = [axes[0], *axes[2:], axes[1]], [axes[0], axes[-1], *axes[1:-1]]
    shape = shape_of(value.source)
    if all(index.same_as(var) for index, var in zip(value.indices, first, strict=True)):
        return shape[0], _product(shape[1:-1]), shape[-1]
    if all(index.same_as(var) for index, var in zip(value.indices, last, strict=True)):
        return shape[0], shape[1], _product(shape[2:])
    return None


def _product(extents: Sequence[int]) -> int:
    total = 1
    for extent in extents:
        total *= extent
    return total
