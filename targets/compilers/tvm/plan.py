"""The memory plan: where each value lies, with one arena for everything that lives between kernels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from edgepress.targets.compilers.tvm.lower import KernelCall
from edgepress.targets.compilers.tvm.program import Program

ALIGN = 64


class Space(IntEnum):
    """``ep_space`` of the C interface."""

    ARENA = 0
    WEIGHTS = 1
    INPUT = 2
    OUTPUT = 3


@dataclass(frozen=True)
class Place:
    """Where a value lies: a space, which input or output, and the offset in bytes."""

    space: Space
    index: int
    offset: int


@dataclass(frozen=True)
class MemoryPlan:
    """A place for every value that a call touches, and the sizes of arena and weights."""

    places: dict[int, Place]
    arena_bytes: int
    weights: bytes
    copies: tuple[tuple[int, int], ...]


def aligned(size: int) -> int:
    """A size rounded up to the alignment of the arena."""
    return -(-size // ALIGN) * ALIGN


def plan_memory(program: Program, calls: list[KernelCall]) -> MemoryPlan:
    """Give every value a place; values whose lives do not overlap share arena bytes.

    ``copies`` lists the outputs (source value, output index) that no kernel can write in place,
    because they are an input, a constant, or another output's bytes; they are copied last.
    """
    places: dict[int, Place] = {}
    for index, number in enumerate(program.inputs):
        places[number] = Place(Space.INPUT, index, 0)
    weights = bytearray()
    by_content: dict[bytes, int] = {}
    used = {argument for call in calls for argument in call.arguments} | {
        program.root(o) for o in program.outputs
    }
    for number in sorted(program.constants):
        if number not in used:
            continue
        array = np.ascontiguousarray(program.constants[number])
        content = array.tobytes()
        if content not in by_content:
            weights.extend(bytes(aligned(len(weights)) - len(weights)))
            by_content[content] = len(weights)
            weights.extend(content)
        places[number] = Place(Space.WEIGHTS, 0, by_content[content])

    copies = []
    for index, number in enumerate(program.outputs):
        root = program.root(number)
        if root in places:
            copies.append((root, index))
        else:
            places[root] = Place(Space.OUTPUT, index, 0)

    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for position, call in enumerate(calls):
        for argument in call.arguments:
            if argument not in places:
                first.setdefault(argument, position)
                last[argument] = position
    offsets, arena = pack_intervals({n: (program.values[n].bytes, first[n], last[n]) for n in first})
    for number, offset in offsets.items():
        places[number] = Place(Space.ARENA, 0, offset)
    return MemoryPlan(places, arena, bytes(weights), tuple(copies))


def pack_intervals(lives: dict[int, tuple[int, int, int]]) -> tuple[dict[int, int], int]:
    """Offsets for values ``{number: (bytes, first, last)}`` and the bytes needed in all.

    The largest are placed first, each at the lowest offset that no value alive at the same time covers.
    """
    placed: list[tuple[int, int, int, int]] = []
    offsets: dict[int, int] = {}
    total = 0
    for number in sorted(lives, key=lambda n: (-lives[n][0], n)):
        size, first, last = lives[number]
        size = max(aligned(size), ALIGN)
        at = 0
        for start, end, begins, ends in sorted(placed):
            if begins <= last and first <= ends and start < at + size:
                at = max(at, end)
        offsets[number] = at
        placed.append((at, at + size, first, last))
        total = max(total, at + size)
    return offsets, total
