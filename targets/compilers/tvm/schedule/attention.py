"""The kernels of an attention: which of them takes which, and the PrimFunc around them."""

from __future__ import annotations

from typing import Any

from edgepress.targets.compilers.tvm.attention import FEW
from edgepress.targets.compilers.tvm.attention_form import attention_of
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.attention_dot import Dots
from edgepress.targets.compilers.tvm.schedule.attention_frame import AttentionFrame
from edgepress.targets.compilers.tvm.schedule.attention_rows import by_rows
from edgepress.targets.compilers.tvm.schedule.attention_tiles import Plain, by_tiles
from edgepress.targets.compilers.tvm.schedule.raw import Made
from edgepress.targets.compilers.tvm.schedule.tile import panel_width


def attention_kernel(func: Any, text: str, machine: Machine) -> Made:
    """The kernel of an attention that a PrimFunc stands for; each part runs some of the heads.

    Args:
        func: takes the operator's inputs and its result.
        text: the form, as :meth:`Attention.text` wrote it.
        machine: one that :func:`attentions` found a kernel for.
    """
    form = attention_of(text)
    frame = AttentionFrame(func, form, machine)
    if form.queries < FEW:
        statements = by_rows(frame)
    elif form.grids:
        statements = by_tiles(frame, Dots(frame, machine))
    else:
        registers = panel_width(machine) // machine.lanes
        statements = by_tiles(frame, Plain(frame, machine.tiles.rows or 1, registers, machine.by_element))
    return frame.made(statements, "attention")
