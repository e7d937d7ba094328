"""The loops around the tiles of a contraction, whatever arithmetic a tile does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.columns8 import BYTES, Columns
from edgepress.targets.compilers.tvm.schedule.contraction import Contraction, RowSpace, steps_by_one
from edgepress.targets.compilers.tvm.schedule.unfold import Unfolded, unfolded
from edgepress.targets.compilers.tvm.stages import DEALT, Axis, Nest


@dataclass(frozen=True)
class Plan:
    """The tile of one contraction.

    Attributes:
        nest, contraction, space: what is computed, its operands, its rows.
        lanes: elements of one vector of sums.
        panel: columns of a tile.
        rows: the most rows of a tile.
        by_element: whether a multiply-add takes one lane of a register.
        ahead: whether tiles ask for the next panel of columns while they work on one.
        columns: how eight-bit columns lie in memory.
        unfolded: where folded ones are made bytes before tiles read them; None where tiles do it.
    """

    nest: Nest
    contraction: Contraction
    space: RowSpace
    lanes: int
    panel: int
    rows: int
    by_element: bool
    ahead: bool = False
    columns: Columns = BYTES
    unfolded: Unfolded | None = None

    @property
    def reading(self) -> Columns:
        """How eight-bit columns lie where tiles read them."""
        return Columns(0, self.columns.depth) if self.unfolded else self.columns

    def read_columns(
        self, frame: Frame, place: Mapping[Any, Expr], panel: Expr, step: Expr, first: int, count: int
    ) -> Expr:
        """``count`` elements of eight-bit columns as they lie, from a column of a panel on.

        ``place`` is any row, and where the axes of the sum are but for the innermost, which is at ``step``.
        """
        stage = self.contraction.stage
        if self.unfolded is not None:
            return self.unfolded.read(frame, place, panel, step, first, count)
        column = frame.simplify(panel * const(self.panel) + const(first))
        where = {**place, stage.reduction[-1].var: step, stage.spatial[-1].var: column}
        load = self.contraction.column
        return frame.vector(load.source, frame.load_offset(load, where), count)


# (plan, frame, trip of the outer loop, first row, rows, panel, columns) → statement
Tile = Callable[[Plan, Frame, Expr, Expr, int, Expr, int], Any]


def contiguous_columns(frame: Frame, contraction: Contraction, columns: Axis, panel: int) -> bool:
    """Whether a panel of the column operand lies together in memory."""
    stage = contraction.stage
    variables: dict[Any, Expr] = {
        axis.var: frame.axis("t", axis.extent) for axis in stage.axes if not axis.var.same_as(columns.var)
    }
    base = frame.axis("t", max(1, columns.extent // panel)) * const(panel)
    return steps_by_one(frame, contraction.column, variables, columns.var, base, min(panel, columns.extent))


def bytes_of(load: Any) -> int:
    """The size of the buffer that is read."""
    return int(np.prod(shape_of(load.source), dtype=np.int64)) * np.dtype(dtype_of(load.source)).itemsize


def tiled(plan: Plan, frame: Frame, columns: Axis, make_tile: Tile, machine: Machine) -> Body:
    """The loops around the tiles, of the rows that were measured to be best for such a shape, or the rule's."""
    shape = shape_of_sums(plan)
    rows = machine.tuned.get(f"{shape} by {plan.rows}x{plan.panel}")
    chosen = plan if rows is None else replace(plan, rows=rows)
    stay = machine.tiles.weights_stay_bytes or 0
    tiles = -(-plan.space.rows // chosen.rows)
    batched = plan.space.batched(plan.contraction)
    reads, room = (tiles, 0) if batched else (tiles * plan.space.blocks, stay)
    once = unfolded(plan.contraction, plan.columns, machine, reads, room)
    chosen = replace(chosen, unfolded=once, ahead=chosen.ahead and once is None)
    body = _tiled(chosen, frame, columns, make_tile, stay)
    if once is not None:
        body = replace(body, statement=sequence([*once.declared(frame), body.statement]))
    return replace(body, tile=f"{chosen.rows}x{plan.panel}", shape=shape, tuned=rows is not None)


def shape_of_sums(plan: Plan) -> str:
    """What a kernel computes, for people and as a key: ``float32 784x96 of 16x9``, the last summed over."""
    stage = plan.contraction.stage
    blocks = f"{plan.space.blocks}x" if plan.space.blocks > 1 else ""
    terms = "x".join(str(axis.extent) for axis in stage.reduction if axis.extent > 1) or "1"
    dtype = dtype_of(plan.contraction.row.source)
    return f"{dtype} {blocks}{plan.space.rows}x{stage.spatial[-1].extent} of {terms}"


def _tiled(plan: Plan, frame: Frame, columns: Axis, make_tile: Tile, stay: int) -> Body:
    """The longer-lived operand decides which loop is outside; ``stay`` is the size up to which columns live."""
    bytes_of_columns = bytes_of(plan.contraction.column)
    full, left = divmod(columns.extent, plan.panel)
    tiles = -(-plan.space.rows // plan.rows)
    if plan.space.batched(plan.contraction) and DEALT in plan.contraction.stage.notes:
        return _groups_within(plan, frame, make_tile, tiles, (full, left))
    once = plan.unfolded
    rows_outside = plan.space.blocks * tiles >= 4 and bytes_of_columns <= stay
    if once.slots > 1 if once is not None else rows_outside:
        outer = plan.space.blocks * tiles
        part = frame.axis("r", outer)
        block, tile = (
            frame.simplify(tirx.floordiv(part, const(tiles))),
            frame.simplify(tirx.floormod(part, const(tiles))),
        )
        statements = []
        if full:
            panel = frame.axis("c", full)
            statements.append(
                loop(panel, full, _row_tile(make_tile, plan, frame, block, tile, tiles, panel, plan.panel))
            )
        if left:
            statements.append(_row_tile(make_tile, plan, frame, block, tile, tiles, const(full), left))
        body = frame.part_loop(part, sequence(statements))
        return Body(sequence([*_fill_all(plan, frame, full, left), body]), outer)

    if plan.space.batched(plan.contraction):
        return _batched(plan, frame, make_tile, tiles, (full, left))
    blocks = plan.space.blocks
    each = blocks if blocks > 1 else tiles

    def rows(panel: Expr, within: Expr, width: int) -> Any:
        if blocks == 1:
            return _row_tile(make_tile, plan, frame, const(0), within, tiles, panel, width)
        tile = frame.axis("r", tiles)
        return loop(tile, tiles, _row_tile(make_tile, plan, frame, within, tile, tiles, panel, width))

    if bytes_of(plan.contraction.row) > bytes_of_columns:
        return _parts_of_rows(plan, frame, rows, each, (full, left))
    return _parts_of_panels(plan, frame, rows, each, (full, left))


def _fill(plan: Plan, frame: Frame, block: Expr, panel: Expr, width: int) -> list[Any]:
    """What makes a panel's folded columns bytes, where that is not left to the tiles."""
    if plan.unfolded is None:
        return []
    place, first = plan.space.place(frame, block, const(0)), frame.simplify(panel * const(plan.panel))
    return [plan.unfolded.fill(frame, place, panel, first, width)]


def _fill_all(plan: Plan, frame: Frame, full: int, left: int) -> list[Any]:
    """The same for all panels."""
    if plan.unfolded is None:
        return []
    panel = frame.axis("c", full) if full else const(0)
    done = [loop(panel, full, sequence(_fill(plan, frame, const(0), panel, plan.panel)))] if full else []
    return done + (_fill(plan, frame, const(0), const(full), left) if left else [])


Rows = Callable[[Expr, Expr, int], Any]  # (panel, position along the rows, columns) → statement


def _parts_of_rows(plan: Plan, frame: Frame, rows: Rows, each: int, panels: tuple[int, int]) -> Body:
    """Every part passes over all columns, so that a thread reads the rows that it wrote in the kernel before."""
    full, left = panels
    count = full + (1 if left else 0)

    def column(panel: Expr, width: int) -> Any:
        low, high = frame.part_rows(count, panel)
        within = frame.axis("w", each)
        mine = tirx.For(within, low, high - low, tirx.ForKind.SERIAL, rows(panel, within, width))
        return _if_any(tirx.LT(low, high), _fill(plan, frame, const(0), panel, width), mine)

    statements = []
    if full:
        panel = frame.axis("c", full)
        statements.append(loop(panel, full, column(panel, plan.panel)))
    if left:
        statements.append(column(const(full), left))
    return Body(sequence(statements), count * each)


def _parts_of_panels(plan: Plan, frame: Frame, rows: Rows, each: int, panels: tuple[int, int]) -> Body:
    """Every part has panels of its own, and a share of the rows of one: few panels would not come out even.

    Tiles of the narrow last panel count for less, so several share a position.
    """
    full, left = panels
    together = plan.panel // max(left, plan.lanes)
    statements, extent = [], full * each
    if full:
        statements.append(
            frame.part_grid(
                full, each, lambda panel, within: rows(panel, within, plan.panel),
                lambda panel: _fill(plan, frame, const(0), panel, plan.panel),
            )
        )  # fmt: skip
    if left:
        last = const(full)
        mine = frame.part_row(extent, each, together, lambda within: rows(last, within, left))
        filled = _fill(plan, frame, const(0), last, left)
        statements.append(_if_any(tirx.LT(const(extent), frame.end), filled, mine))
        extent += -(-each // together)
    return Body(sequence(statements), extent)


def _if_any(some: Expr, before: list[Any], rows: Any) -> Any:
    """Rows with what comes before them, which is left out where a part has none of them."""
    return tirx.IfThenElse(some, sequence([*before, rows]), None) if before else rows


def _batched(plan: Plan, frame: Frame, make_tile: Tile, tiles: int, panels: tuple[int, int]) -> Body:
    """Each trip of the outer loop has columns of its own, so that its panels come one after another."""
    full, left = panels
    outer = full + (1 if left else 0)
    part = frame.axis("c", plan.space.blocks * outer)
    block = frame.simplify(tirx.floordiv(part, const(outer)))
    panel = frame.axis("c", outer)

    def all_rows(width: int) -> Any:
        tile = frame.axis("r", tiles)
        rows = loop(tile, tiles, _row_tile(make_tile, plan, frame, block, tile, tiles, panel, width))
        return sequence([*_fill(plan, frame, block, panel, width), rows])

    body = all_rows(plan.panel) if full else all_rows(left)
    if full and left:
        body = tirx.IfThenElse(tirx.LT(panel, const(full)), body, all_rows(left))
    bound = tirx.Bind(panel, frame.simplify(tirx.floormod(part, const(outer))))
    return Body(frame.part_loop(part, sequence([bound, body])), plan.space.blocks * outer)


def _groups_within(plan: Plan, frame: Frame, make_tile: Tile, tiles: int, panels: tuple[int, int]) -> Body:
    """All groups of one tile of rows before the next tile: each reads a little of every line of the same rows."""
    full, left = panels
    tile, block, panel = (
        frame.axis("r", tiles),
        frame.axis("b", plan.space.blocks),
        frame.axis("c", max(full, 1)),
    )
    statements = []
    if full:
        whole = _row_tile(make_tile, plan, frame, block, tile, tiles, panel, plan.panel)
        statements.append(loop(panel, full, whole))
    if left:
        statements.append(_row_tile(make_tile, plan, frame, block, tile, tiles, const(full), left))
    return Body(frame.part_loop(tile, loop(block, plan.space.blocks, sequence(statements))), tiles)


def _row_tile(
    make_tile: Tile, plan: Plan, frame: Frame, block: Expr, tile: Expr, tiles: int, panel: Expr, width: int
) -> Any:
    """One tile; the first ``rows mod tiles`` tiles have one row more than the others."""
    small, extra = divmod(plan.space.rows, tiles)

    def at(first: Expr, rows: int) -> Any:
        # A variable of its own, so that the simplifier puts quotient and remainder together again.
        row = frame.axis("row", plan.space.rows - rows + 1)
        made = make_tile(plan, frame, block, row, rows, panel, width)
        return sequence([tirx.Bind(row, frame.simplify(first)), made])

    if not extra:
        return at(tile * const(small), small)
    large = at(tile * const(small + 1), small + 1)
    rest = at(tile * const(small) + const(extra), small)
    return tirx.IfThenElse(tirx.LT(tile, const(extra)), large, rest)
