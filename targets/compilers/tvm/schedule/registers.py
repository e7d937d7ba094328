"""Registers of sums: local buffers read and stored whole, and how runs of columns lie over them."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, shape_of


def runs(
    four: list[tuple[int, int]], columns: int, width: int, lanes: int
) -> list[tuple[int, tuple[int, int], int]]:
    """What can be stored together of registers (row, column): (first byte, where it begins, bytes)."""
    done: list[tuple[int, tuple[int, int], int]] = []
    for i, (r, c) in enumerate(four):
        length = min(lanes, width - c * lanes)
        if done and c and done[-1][1][0] == r:
            first, place, before = done[-1]
            done[-1] = (first, place, before + length)
        else:
            done.append((i * lanes, (r, c), length))
    return done


def pieces(width: int, lanes: int) -> list[tuple[int, int]]:
    """Runs that cover ``width`` columns, each a power of two and inside one register: (first, count)."""
    done, at = [], 0
    while at < width:
        while lanes > width - at:
            lanes //= 2
        done.append((at, lanes))
        at += lanes
    return done


def get(buffer: Any) -> Expr:
    """A whole local buffer as one vector, or number."""
    return tirx.BufferLoad(buffer, [_whole(buffer)])


def put(buffer: Any, value: Expr) -> Any:
    """The statement that stores a whole local buffer."""
    return tirx.BufferStore(buffer, value, [_whole(buffer)])


def _whole(buffer: Any) -> Expr:
    lanes = shape_of(buffer)[0]
    return tirx.Ramp(const(0), const(1), lanes) if lanes > 1 else const(0)
