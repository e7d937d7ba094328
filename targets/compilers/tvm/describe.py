"""What each call of a kernel is, for people: the nodes it computes, who made its code, what it costs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from edgepress.bundle.layers import KernelLayer
from edgepress.targets.compilers.tvm.dynamic_form import DIGITS
from edgepress.targets.compilers.tvm.expressions import dtype_of, loads
from edgepress.targets.compilers.tvm.lower import Kernel, KernelCall
from edgepress.targets.compilers.tvm.origin import Origin
from edgepress.targets.compilers.tvm.program import Program, Step
from edgepress.targets.compilers.tvm.schedule.whole import in_integers, is_whole
from edgepress.targets.compilers.tvm.stages import EIGHT, GAIN, INPUTS

_LONGEST_NAME = 120
_EIGHT = ("int8", "uint8")


def describe(
    program: Program,
    kernels: Sequence[Kernel],
    calls: Sequence[KernelCall],
    origins: Sequence[tuple[Origin, ...]],
    outputs: Sequence[str],
) -> tuple[KernelLayer, ...]:
    """A layer for each call, then one for each output of that name that is copied at the end.

    Args:
        program, kernels, calls: what is called, and in which order.
        origins: the ONNX nodes of each call, the heaviest first.
        outputs: the names of the outputs that are copied.
    """
    layers = []
    names = _names(program.steps, origins, calls)
    for step, call, nodes, name in zip(program.steps, calls, origins, names, strict=True):
        kernel = kernels[call.kernel]
        bits, left = _ternary(program, step)
        values = set(call.arguments)
        weights = {value for value in values if value in program.constants}
        layers.append(
            KernelLayer(
                name,
                nodes[0].op if nodes else step.name,
                kernel.family,
                tuple(node.name[:_LONGEST_NAME] for node in nodes),
                kernel.tile,
                kernel.shape,
                kernel.tuned,
                call.kernel,
                call.macs,
                call.operations,
                sum(program.values[value].bytes for value in weights),
                sum(program.values[value].bytes for value in values - weights),
                _integer(step),
                weight_bits=bits,
                left=left,
            )
        )
    copies = [KernelLayer(f"{name[:_LONGEST_NAME]}:copy", "Identity", "copy") for name in outputs]
    return (*layers, *copies)


def _names(
    steps: Sequence[Step], origins: Sequence[tuple[Origin, ...]], calls: Sequence[KernelCall]
) -> list[str]:
    """The node's name for the call that does most for it, that and the part's for the others; each once."""
    nodes = [
        given[0].name[:_LONGEST_NAME] if given else step.name
        for step, given in zip(steps, origins, strict=True)
    ]
    main: dict[str, int] = {}
    for position, (name, step, call) in enumerate(zip(nodes, steps, calls, strict=True)):
        work = (_marked(step), call.macs, call.elements)
        best = main.get(name)
        if best is None or work >= (_marked(steps[best]), calls[best].macs, calls[best].elements):
            main[name] = position
    seen: Counter[str] = Counter()
    found = []
    for position, (name, step) in enumerate(zip(nodes, steps, strict=True)):
        full = name if main[name] == position else f"{name}:{_part(step)}"
        seen[full] += 1
        found.append(full if seen[full] == 1 else f"{full}{seen[full]}")
    return found


def _marked(step: Step) -> bool:
    return step.nest is not None and bool(step.nest.kind)


def _part(step: Step) -> str:
    """What a kernel is called beside the main one of its node: ``pad``, ``transpose``, ``expsum``."""
    name = step.name if step.nest is None else step.nest.name
    last = re.sub(r"\d+$", "", name).rstrip("_").rpartition("_")[2].lower()
    return last.removesuffix("input") or "part"


def _ternary(program: Program, step: Step) -> tuple[float | None, str]:
    """Bits for each weight of −1, 0 and 1, and why there are more than two of them; None for other weights."""
    anchor = step.nest.anchor if step.nest is not None else None
    if anchor is None or not {DIGITS, GAIN, EIGHT} & set(anchor.notes):
        return None, ""
    if EIGHT in anchor.notes:
        return 8.0, str(anchor.notes[EIGHT])
    values = [program.constants[value] for value in step.arguments.values() if value in program.constants]
    stored = max(value.nbytes for value in values if value.dtype == np.int8 or value.dtype.kind == "u")
    places = 1 if DIGITS in anchor.notes else prod(axis.extent for axis in anchor.reduction[:-1])
    inputs = int(anchor.notes.get(INPUTS, anchor.reduction[-1].extent))
    bits = 8 * stored / (anchor.spatial[-1].extent * places * inputs)
    return round(bits, 3), ""


def _integer(step: Step) -> bool:
    """Whether a step computes on eight-bit numbers, rather than makes or unmakes them."""
    if step.nest is None:
        return is_whole(step.opaque) and in_integers(step.opaque)
    read: Any = step.nest.anchor.value if step.nest.anchor is not None else step.nest.stage.value
    kinds = {dtype_of(load) for load in loads(read)}
    return bool(kinds & set(_EIGHT)) and not any(kind.startswith("float") for kind in kinds)
