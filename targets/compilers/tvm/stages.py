"""A fused PrimFunc read as stages, and the stages gathered into nests: what one kernel computes.

A stage is one block of TensorIR: ``buffer[indices] = value`` over some axes. A nest is at most one
reducing stage (its anchor) and the element-wise value that is stored from it; no nest has a
temporary of its own, so that every intermediate buffer is planned into the model's one arena.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tvm import ir, s_tir, tirx

from edgepress.targets.compilers.tvm.expressions import (
    Expr,
    calls,
    loads,
    replace_loads,
    shape_of,
    substitute,
    uses,
)

KERNEL = "ep.kernel"
DEPTHWISE = "depthwise_dot"  # the kernel mark of a depthwise convolution with weights in runs of four taps
PLANES = "ep.planes"  # the kernel mark of an image quantised into pixels: channels, pads, height, width
DOT = "ep.dot"  # the instruction that sums an operator's products, which its weights are packed for
BOUNDED = "ep.bounded"  # whether no sum, scaled to output steps, leaves 31 bits
GROUPS = "ep.groups"  # inputs and outputs of one group of a grouped convolution
DEALT = "ep.dealt"  # that a group's inputs lie as far apart as there are groups
GAIN = "ep.gain"  # that weights are ternary at two bits, and what their sums are multiplied by
EIGHT = "ep.eight"  # why ternary weights stay at eight bits
INPUTS = "ep.inputs"  # how many inputs a sum has before they are padded
MACS = "ep.macs"  # the multiply-accumulates that a stage stands for, where its own loops do not say
WINOGRAD = "ep.winograd"  # outputs along a tile, tiles down and across, and for an image its leading pads
WINDOW = "ep.window"  # strides, dilations and leading pads of a window over an unpadded input


@dataclass(frozen=True)
class Axis:
    """A loop of a stage: its variable, its extent, and whether it is summed over."""

    var: Any
    extent: int
    reduce: bool


@dataclass(frozen=True)
class Stage:
    """``buffer[indices] = value`` over ``axes``; ``init`` starts a reduction."""

    name: str
    axes: tuple[Axis, ...]
    buffer: Any
    indices: tuple[Expr, ...]
    value: Expr
    init: Expr | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spatial(self) -> tuple[Axis, ...]:
        """The axes that are not summed over."""
        return tuple(axis for axis in self.axes if not axis.reduce)

    @property
    def reduction(self) -> tuple[Axis, ...]:
        """The axes that are summed over."""
        return tuple(axis for axis in self.axes if axis.reduce)

    @property
    def trips(self) -> int:
        """How many times the stage's value is computed."""
        return math.prod(axis.extent for axis in self.axes)

    @property
    def plain(self) -> bool:
        """Whether the stage stores each element of its buffer exactly once, in order."""
        spatial = self.spatial
        shape = shape_of(self.buffer)
        return len(self.indices) == len(spatial) and all(
            index.same_as(axis.var) and axis.extent == extent
            for index, axis, extent in zip(self.indices, spatial, shape, strict=True)
        )


@dataclass(frozen=True)
class Nest:
    """One kernel: ``buffer[indices] = value``, where ``value`` may read ``anchor.buffer``.

    An anchor's spatial axes are the nest's axes, one for one.
    """

    stage: Stage
    anchor: Stage | None = None

    @property
    def kind(self) -> str:
        """What registered kernels choose by: the anchor's mark, or empty."""
        return str(self.anchor.notes.get(KERNEL, "")) if self.anchor else ""

    @property
    def name(self) -> str:
        """The anchor's name, or the stage's."""
        return self.anchor.name if self.anchor else self.stage.name


class OpaqueBody(Exception):
    """The PrimFunc is not made of plain blocks; it is compiled whole."""


def read_stages(func: Any) -> tuple[list[Stage], list[Any]]:
    """The stages of a PrimFunc in order, and the buffers it allocates.

    Raises:
        OpaqueBody: a block is not a single store over constant loops.
    """
    root = func.body
    if not isinstance(root, s_tir.SBlockRealize) or root.block.match_buffers:
        raise OpaqueBody
    body = root.block.body
    parts = list(body.seq) if isinstance(body, tirx.SeqStmt) else [body]
    return [_read_stage(part) for part in parts], list(root.block.alloc_buffers)


def _read_stage(node: Any) -> Stage:
    extents: dict[Any, int] = {}
    while isinstance(node, tirx.For):
        if node.kind != tirx.ForKind.SERIAL or not isinstance(node.extent, tirx.IntImm) or int(node.min) != 0:
            raise OpaqueBody
        extents[node.loop_var] = int(node.extent)
        node = node.body
    if not isinstance(node, s_tir.SBlockRealize):
        raise OpaqueBody
    block = node.block
    if block.alloc_buffers or block.match_buffers or not isinstance(block.body, tirx.BufferStore):
        raise OpaqueBody
    if not (isinstance(node.predicate, tirx.IntImm) and int(node.predicate) == 1):
        raise OpaqueBody
    axes = []
    for item, bound in zip(block.iter_vars, node.iter_values, strict=True):
        extent = extents.get(bound) if isinstance(bound, ir.Var) else 1
        if isinstance(bound, tirx.IntImm) and int(bound) != 0:
            raise OpaqueBody
        if extent is None or int(item.dom.extent) != extent or item.iter_type not in (0, 2):
            raise OpaqueBody
        axes.append(Axis(item.var, extent, item.iter_type == 2))
    if block.init is not None and not isinstance(block.init, tirx.BufferStore):
        raise OpaqueBody
    store = block.body
    stage = Stage(
        str(block.name_hint), tuple(axes), store.buffer, tuple(store.indices), store.value,
        block.init.value if block.init is not None else None, dict(block.annotations),
    )  # fmt: skip
    if not stage.reduction and any(load.source.same_as(store.buffer) for load in loads(store.value)):
        raise OpaqueBody
    if stage.reduction and (stage.init is None or not _self_reads_match(stage)):
        raise OpaqueBody
    return stage


def _self_reads_match(stage: Stage) -> bool:
    own = [load for load in loads(stage.value) if load.source.same_as(stage.buffer)]
    return bool(own) and all(
        all(a.same_as(b) for a, b in zip(load.indices, stage.indices, strict=True)) for load in own
    )


def _reads(stage: Stage, buffer: Any) -> list[Any]:
    return [load for load in loads(stage.value) if load.source.same_as(buffer)]


def _inlined(consumer: Stage, producer: Stage) -> Stage:
    def change(load: Any) -> Any:
        if not load.source.same_as(producer.buffer):
            return load
        values = {axis.var: index for axis, index in zip(producer.spatial, load.indices, strict=True)}
        return substitute(producer.value, values)

    return replace(consumer, value=replace_loads(consumer.value, change))


def _may_inline(producer: Stage, consumers: list[Stage]) -> bool:
    if producer.reduction or KERNEL in producer.notes or not producer.plain or not consumers:
        return False
    dear = any(str(call.op.name).split(".")[-1] != "if_then_else" for call in calls(producer.value))
    if not dear and len(loads(producer.value)) <= 1:
        return all(KERNEL not in consumer.notes for consumer in consumers)
    if len(consumers) != 1 or KERNEL in consumers[0].notes:
        return False
    consumer = consumers[0]
    reads = _reads(consumer, producer.buffer)
    nested = [inner for load in reads for index in load.indices for inner in loads(index)]
    if any(inner.source.same_as(producer.buffer) for inner in nested):
        return False
    if not consumer.reduction:
        # An element that a wider consumer reads many times would be computed many times.
        return not dear or all(
            axis.extent == 1 or any(uses(i, axis.var) for i in load.indices)
            for load in reads for axis in consumer.axes
        )  # fmt: skip
    return all(
        axis.extent == 1 or any(uses(i, axis.var) for i in load.indices)
        for load in reads
        for axis in consumer.axes
    )


def _epilogue_of(anchor: Stage, consumer: Stage) -> bool:
    if consumer.reduction or not consumer.plain or not anchor.plain:
        return False
    axes = consumer.axes
    if len(axes) != len(anchor.spatial):
        return False
    for load in _reads(consumer, anchor.buffer):
        for index, axis, own in zip(load.indices, axes, anchor.spatial, strict=True):
            if axis.extent != own.extent:
                return False
            if not index.same_as(axis.var) and not (axis.extent == 1 and isinstance(index, tirx.IntImm)):
                return False
    return True


def gather_nests(stages: list[Stage], temporaries: list[Any]) -> list[Nest]:
    """Inline cheap element-wise stages and join each reduction with what follows it element by element."""
    todo = list(stages)

    def internal(buffer: Any) -> bool:
        return any(buffer.same_as(own) for own in temporaries)

    changed = True
    while changed:
        changed = False
        for position, stage in enumerate(todo):
            consumers = [other for other in todo if other is not stage and _reads(other, stage.buffer)]
            if internal(stage.buffer) and _may_inline(stage, consumers):
                todo = [_inlined(s, stage) if any(s is c for c in consumers) else s for s in todo]
                del todo[position]
                changed = True
                break

    nests: list[Nest] = []
    anchors: list[Stage] = []
    for stage in todo:
        consumers = [other for other in todo if other is not stage and _reads(other, stage.buffer)]
        anchored = stage.reduction or KERNEL in stage.notes
        if anchored and internal(stage.buffer) and len(consumers) == 1 and _epilogue_of(stage, consumers[0]) \
                and not any(_reads(consumers[0], a.buffer) for a in anchors):  # fmt: skip
            anchors.append(stage)
            continue
        anchor = next((a for a in anchors if _reads(stage, a.buffer)), None)
        if anchor is not None:
            renamed = {axis.var: own.var for axis, own in zip(stage.axes, anchor.spatial, strict=True)}
            joined = replace(
                stage, axes=anchor.spatial, value=substitute(stage.value, renamed),
                indices=tuple(substitute(i, renamed) for i in stage.indices),
            )  # fmt: skip
            nests.append(Nest(joined, anchor))
        elif stage.reduction:
            own = tirx.BufferLoad(stage.buffer, list(stage.indices))
            nests.append(Nest(Stage(stage.name, stage.spatial, stage.buffer, stage.indices, own), stage))
        else:
            nests.append(Nest(stage))
    return nests
