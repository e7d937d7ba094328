"""The schedules: how a nest becomes code. One family a file, all registered in ``MAKERS``.

Kernels of several sums in a row, which no nest describes, are in :mod:`whole`.
To add a better kernel for an operator, write one more file with a function of the type
:data:`Maker` and put it before the ones it beats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgepress.targets.compilers.tvm.kernel import Body, Frame
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule import (
    depthwise,
    depthwise_dot,
    depthwise_slide,
    interleave,
    plain,
    planes,
    rows,
    table,
    ternary,
    ternary_words,
    tile,
    tile_dot,
    tile_int8,
    transpose,
    window,
    winograd,
)
from edgepress.targets.compilers.tvm.stages import Nest

Maker = Callable[[Nest, Frame, Machine], Body | None]

MAKERS: tuple[Maker, ...] = (
    winograd.make,
    tile.make,
    tile_dot.make,
    ternary_words.make,
    ternary.make,
    depthwise_slide.make,
    depthwise_dot.make,
    tile_int8.make,
    depthwise.make,
    window.make,
    planes.make,
    rows.make,
    interleave.make,
    transpose.make,
    table.make,
    plain.make,
)


def schedule(nest: Nest, frame: Frame, machine: Machine) -> Body:
    """The code of a nest by the first maker that takes it, whose file's name is the family; the last takes all."""
    for maker in MAKERS:
        body = maker(nest, frame, machine)
        if body is not None:
            return replace(body, family=maker.__module__.rpartition(".")[2])
    raise AssertionError("the plain schedule takes every nest")
