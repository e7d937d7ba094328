"""What one attention computes, in numbers: where its operands lie, its scale, the grids of a quantised one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgepress.targets.compilers.tvm.grids import Grid

ATTENTION = "ep.attention"  # the attribute of a PrimFunc that stands for an attention


@dataclass(frozen=True)
class Operand:
    """Rows of contiguous numbers: element ``base + Σ outer · index + row · token + place`` of a buffer.

    Attributes:
        buffer: which of the operator's inputs; of the result, -1.
        dtype: the buffer's type; ``float32`` in a quantised attention is quantised as it is read.
        outer: the strides of the outer axes (batch, heads).
        rows: how many tokens there are.
    """

    buffer: int
    dtype: str
    base: int
    outer: tuple[int, ...]
    row: int
    rows: int


@dataclass(frozen=True)
class Attention:
    """``softmax(factor · q · kᵀ) · v`` over outer axes; grids where each intermediate is quantised.

    Attributes:
        outer: extents of batch and heads.
        depth, width: numbers of a row of ``q`` and ``k``, and of ``v`` and the result.
        factor: what the scores are multiplied by, after they were quantised.
        q, out: operands; ``k`` and ``v`` may be parts that follow one another.
        grids: of ``q``, ``k``, the scores, the softmax, ``v`` and the result; empty in fp32.
    """

    outer: tuple[int, ...]
    depth: int
    width: int
    factor: float
    q: Operand
    k: tuple[Operand, ...]
    v: tuple[Operand, ...]
    out: Operand
    grids: tuple[Grid, ...]

    @property
    def queries(self) -> int:
        """How many rows of ``q`` there are."""
        return self.q.rows

    @property
    def keys(self) -> int:
        """How many rows of ``k`` and ``v`` there are."""
        return sum(part.rows for part in self.k)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of both products."""
        return int(np.prod(self.outer, dtype=np.int64)) * self.queries * self.keys * (self.depth + self.width)

    def text(self) -> str:
        """The form as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def attention_of(text: str) -> Attention:
    """The form that :meth:`Attention.text` wrote."""
    data = json.loads(text)

    def operand(value: dict[str, Any]) -> Operand:
        return Operand(**{**value, "outer": tuple(value["outer"])})

    return Attention(
        tuple(data["outer"]), data["depth"], data["width"], data["factor"], operand(data["q"]),
        tuple(map(operand, data["k"])), tuple(map(operand, data["v"])), operand(data["out"]),
        tuple(Grid(**grid) for grid in data["grids"]),
    )  # fmt: skip
