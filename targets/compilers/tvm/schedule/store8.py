"""How a tile of int32 sums begins and ends: the bias it starts at, and the eight-bit outputs it is stored as."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, shape_of
from edgepress.targets.compilers.tvm.kernel import Frame, loop
from edgepress.targets.compilers.tvm.schedule.registers import get, pieces, put, runs
from edgepress.targets.compilers.tvm.schedule.requantise import Requantise, gathered, sliced


def started(
    frame: Frame,
    end: Requantise | None,
    sums: list[list[Any]],
    places: list[dict[Any, Expr]],
    columns: list[dict[Any, Expr]],
    width: int,
) -> list[Any]:
    """Statements that make registers of sums (rows × vectors of columns) and set them to the bias, or to zero.

    ``places`` says where each row lies, ``columns`` where each vector begins; ``width`` columns are stored.
    """
    lanes = shape_of(sums[0][0])[0]
    done: list[Any] = []
    starts: list[Expr] = []
    for c, where in enumerate(columns):
        if end is None:
            starts.append(tirx.Broadcast(const(0), lanes))
            continue
        value = tirx.Var("b", f"int32x{lanes}")
        done.append(
            tirx.Bind(
                value, gathered(frame, end.bias, {**places[0], **where}, min(lanes, width - c * lanes), lanes)
            )
        )
        starts.append(value)
    for each in sums:
        for acc, start in zip(each, starts, strict=True):
            done += [tirx.AllocBuffer(acc), put(acc, start)]
    return done


def stored(
    frame: Frame,
    end: Requantise | None,
    sums: list[list[Any]],
    places: list[dict[Any, Expr]],
    columns: list[dict[Any, Expr]],
    width: int,
) -> list[Any]:
    """Statements that store ``width`` columns of each row of sums; ``places`` says where each row lies."""
    if end is not None:
        return _bytes(frame, end, sums, places, columns, width)
    lanes = shape_of(sums[0][0])[0]
    done = []
    for each, place in zip(sums, places, strict=True):
        for first, count in pieces(width, lanes):
            skipped, lane = first % lanes, frame.axis("v", count)
            where = {**place, **moved(columns[first // lanes], lane + const(skipped))}
            held = tirx.BufferLoad(each[first // lanes], [lane + const(skipped)])
            kind = tirx.ForKind.VECTORIZED if count > 1 else tirx.ForKind.UNROLLED
            done.append(loop(lane, count, frame.store(where, held), kind))
    return done


def _bytes(
    frame: Frame,
    end: Requantise,
    sums: list[list[Any]],
    places: list[dict[Any, Expr]],
    columns: list[dict[Any, Expr]],
    width: int,
) -> list[Any]:
    """Requantise and store, four registers of sums at a time, whichever rows they are of."""
    lanes = shape_of(sums[0][0])[0]
    done: list[Any] = []
    scales = []
    for c, where in enumerate(columns):
        value = tirx.Var("m", f"float32x{lanes}")
        done.append(
            tirx.Bind(
                value,
                gathered(frame, end.scale, {**places[0], **where}, min(lanes, width - c * lanes), lanes),
            )
        )
        scales.append(value)
    todo = [(r, c) for r in range(len(sums)) for c in range(len(columns))]
    for at in range(0, len(todo), 4):
        four = todo[at : at + 4]
        steps = [end.rounded(get(sums[r][c]), scales[c]) for r, c in four]
        packed = tirx.Var("q", f"{end.dtype}x{4 * lanes}")
        done.append(tirx.Bind(packed, end.in_order(end.bytes_of(steps + steps[:1] * (4 - len(steps))))))
        for first, (r, c), length in runs(four, len(columns), width, lanes):
            for skipped, count in pieces(length, 4 * lanes):
                value = sliced(packed, first + skipped, count)
                done.append(end.put(frame, {**places[r], **moved(columns[c], const(skipped))}, value))
    return done


def moved(where: dict[Any, Expr], by: Expr) -> dict[Any, Expr]:
    """A column some places on."""
    return {var: index + by for var, index in where.items()}
