"""One step of a quantised depthwise convolution on AVX-512: pixels interleaved, sums, stored outputs.

Four pixels that lie side by side are interleaved as in :mod:`depthwise_dot`, so that each channel's four
values lie together. Where a block's channels fill a half or a quarter of a register, two or four parts of
the row lie in it side by side. Pixels outside the image count as zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, shape_of
from edgepress.targets.compilers.tvm.kernel import Frame, local
from edgepress.targets.compilers.tvm.packing8 import TAPS, runs_of
from edgepress.targets.compilers.tvm.schedule.depthwise import Dimension
from edgepress.targets.compilers.tvm.schedule.depthwise_dot import QUARTERS, interleaved
from edgepress.targets.compilers.tvm.schedule.dot import Dot, flipped
from edgepress.targets.compilers.tvm.schedule.registers import get, pieces, put
from edgepress.targets.compilers.tvm.schedule.requantise import Requantise, gathered, sliced
from edgepress.targets.compilers.tvm.stages import Axis


@dataclass(frozen=True)
class Plan:
    """One convolution.

    Attributes:
        dot, flip: the multiply-add, and whether activations are moved by 128 for it.
        end: how sums are requantised; bias and scale lie in the order of :func:`packing8.channel_order`.
        image, weight: the reads of the operands.
        dims: the dimensions of the image, one or two.
        channels, block: their axis, and how many a block has.
    """

    frame: Frame
    dot: Dot
    flip: bool
    end: Requantise
    image: Any
    weight: Any
    dims: tuple[Dimension, ...]
    channels: Axis
    block: int

    @property
    def across(self) -> Dimension:
        """The dimension along a row."""
        return self.dims[-1]

    @property
    def rows(self) -> int:
        """Rows of the window."""
        return self.dims[0].taps.extent if len(self.dims) == 2 else 1


@dataclass(frozen=True)
class Block:
    """One block of channels of one row of outputs.

    Attributes:
        base: the axes' places, columns and taps at zero.
        width: its channels; ``lanes`` of them, or of several parts', are in a register of sums.
        parts: where parts of the row begin that lie side by side in each register, one where the channels
            fill it. Parts are equally long; the last may begin in the one before it.
        bias, scale: for each register of sums.
    """

    base: dict[Any, Expr]
    width: int
    lanes: int
    parts: tuple[int, ...]
    bias: list[Expr]
    scale: list[Expr]


def jobs_of(plan: Plan, count: int) -> list[tuple[int, int, int]]:
    """What ``count`` outputs add up of a row: (first pixel of four, output, run of weights)."""
    runs, jobs = runs_of(plan.across.taps.extent), []
    for t in range(count):
        place = t * plan.across.stride
        phase = place % 2
        jobs += [(place - phase + TAPS * run, t, phase * runs[0] + run) for run in range(runs[phase])]
    return sorted(jobs)


def pairs_of(plan: Plan, count: int) -> list[int]:
    """The first pixels of the pairs that ``count`` outputs need."""
    return sorted({first + more for first, _, _ in jobs_of(plan, count) for more in (0, 2)})


def advance(plan: Plan, count: int) -> int:
    """How many pixels a step of ``count`` outputs moves on."""
    return count * plan.across.stride


def carried_by(plan: Plan, count: int) -> list[int]:
    """The pairs of a step that the step before it had already."""
    pairs = pairs_of(plan, count)
    return [pair for pair in pairs if pair + advance(plan, count) in pairs]


class Reader:
    """Reads one row of the image for one step.

    ``left`` is the image's column of the first pixel if known; pixels from ``needed`` on, if given, meet
    weights of zero.
    """

    def __init__(
        self, plan: Plan, block: Block, start: Expr, left: int | None, needed: int | None, done: list[Any]
    ) -> None:
        self.plan, self.block, self.start, self.left, self.done = plan, block, start, left, done
        self.needed = needed
        self.held: dict[int, tuple[Expr, Expr]] = {}

    def bound(self, value: Expr) -> Expr:
        """A value with a name of its own."""
        var = tirx.Var("v", value.ty)
        self.done.append(tirx.Bind(var, value))
        return var

    def columns(self, index: int) -> list[int | None]:
        """How far a pixel of each part of the row lies from the first pixel; None where it counts as zero."""
        across, left = self.plan.across, self.left
        found = [index + part * across.stride for part in self.block.parts]
        if self.needed is not None and index >= self.needed:
            return [None] * len(found)
        return [c if left is None or 0 <= left + c < across.extent else None for c in found]

    def blank(self, first: int) -> bool:
        """Whether four pixels count as zero in every part of the row."""
        return all(column is None for index in range(TAPS) for column in self.columns(first + index))

    def pixel(self, index: int) -> Expr:
        """One pixel's channels of the block, of each part of the row."""
        plan, block = self.plan, self.block
        size, parts = QUARTERS * block.lanes // len(block.parts), []
        for column in self.columns(index):
            if column is None:
                parts.append(tirx.Broadcast(tirx.IntImm("int8", 0), size))
                continue
            first = plan.frame.simplify(self.start + const(column * shape_of(plan.image.source)[-1]))
            value = gathered(plan.frame, plan.image, {}, block.width, size, first)
            parts.append(tirx.reinterpret(f"int8x{size}", flipped(value, plan.flip)))
        whole = [const(i) for i in range(size * len(parts))]
        return self.bound(parts[0] if len(parts) == 1 else tirx.Shuffle(parts, whole))

    def pair(self, index: int) -> tuple[Expr, Expr]:
        """Two pixels interleaved: the lower and the upper half of each run of sixteen channels."""
        if index not in self.held:
            words = f"int16x{2 * self.block.lanes}"
            two = [self.pixel(index), self.pixel(index + 1)]
            low, high = (
                self.bound(tirx.reinterpret(words, interleaved(two[0], two[1], self.block.lanes, half)))
                for half in (0, 1)
            )
            self.held[index] = (low, high)
        return self.held[index]

    def quarter(self, first: int, v: int) -> Expr:
        """Four pixels interleaved: one quarter of the channels, four values of each."""
        a, b = self.pair(first), self.pair(first + 2)
        mixed = interleaved(a[v // 2], b[v // 2], self.block.lanes, v % 2)
        return self.bound(tirx.reinterpret(f"int8x{4 * self.block.lanes}", mixed))


def add_row(plan: Plan, block: Block, reader: Reader, rows: Expr, sums: list[list[Any]]) -> None:
    """One row of the window into the sums; ``rows`` is where its weights begin."""
    per_run = QUARTERS * plan.block
    jobs = jobs_of(plan, len(sums))
    for first in sorted({job[0] for job in jobs if not reader.blank(job[0])}):
        for v in range(QUARTERS):
            value = reader.quarter(first, v)
            for _, t, run in (job for job in jobs if job[0] == first):
                at = plan.frame.simplify(rows + const(run * per_run + v * plan.block))
                weight = plan.frame.vector(plan.weight.source, at, 4 * block.lanes)
                acc = sums[t][v]
                reader.done.append(put(acc, plan.dot.add(get(acc), [value], [weight])))


def begun(block: Block, count: int) -> tuple[list[list[Any]], list[Any]]:
    """Sums (outputs × quarters of the channels), and the statements that set them to the bias."""
    sums = [[local(f"s{t}_{v}", block.lanes, "int32") for v in range(QUARTERS)] for t in range(count)]
    statements: list[Any] = []
    for each in sums:
        for acc, bias in zip(each, block.bias, strict=True):
            statements += [tirx.AllocBuffer(acc), put(acc, bias)]
    return sums, statements


def stored(plan: Plan, block: Block, first: Expr, sums: list[list[Any]]) -> list[Any]:
    """Outputs from ``first`` on, requantised."""
    done: list[Any] = []
    for t, each in enumerate(sums):
        steps = [plan.end.rounded(get(acc), scale) for acc, scale in zip(each, block.scale, strict=True)]
        packed = tirx.Var("q", f"{plan.end.dtype}x{QUARTERS * block.lanes}")
        done.append(tirx.Bind(packed, plan.end.bytes_of(steps)))
        size = QUARTERS * block.lanes // len(block.parts)
        for number, part in enumerate(block.parts):
            place = {**block.base, plan.across.out.var: plan.frame.simplify(first + const(t + part))}
            for begin, count in pieces(block.width, size):
                place[plan.channels.var] = block.base[plan.channels.var] + const(begin)
                value = sliced(packed, number * size + begin, count)
                done.append(plan.end.put(plan.frame, dict(place), value))
    return done
