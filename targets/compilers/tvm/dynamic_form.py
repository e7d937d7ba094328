"""What a dense layer of dynamic rows computes: how each row becomes eight-bit codes, how weights are packed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from edgepress.targets.compilers.tvm import packing2
from edgepress.targets.compilers.tvm.machine import Machine

ROW_CODES = "ep.row_codes"  # the attribute of a PrimFunc that stands for rows made codes
TERNARY = "ternary"  # the kernel mark of sums by ternary weights
DIGITS = "ep.digits"  # how many of them are in a byte


@dataclass(frozen=True)
class RowCodes:
    """``s = levels / max(largest |x|, least)`` and ``clip(round(x · s), −128, 127) + offset`` of each row.

    Attributes:
        rows, width: of ``x``.
        padded: codes of a row with the zeros behind them.
        levels: what a row's largest magnitude becomes.
        least: what a row's largest magnitude is taken as at least.
        offset: 128 for unsigned codes, else 0; zeros behind a row stay 0.
        reciprocal: whether ``1 / m`` is rounded before it is multiplied by the levels.
    """

    rows: int
    width: int
    padded: int
    levels: float
    least: float
    offset: int
    reciprocal: bool

    def text(self) -> str:
        """The form as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def row_codes_of(text: str) -> RowCodes:
    """The form that :meth:`RowCodes.text` wrote."""
    return RowCodes(**json.loads(text))


@dataclass(frozen=True)
class TernaryPacking:
    """How a machine reads ternary weights.

    Attributes:
        lanes: outputs of a panel.
        digits: weights of a byte: 4 of two bits, or 5 in base three.
    """

    lanes: int
    digits: int


_VECTORS = 2  # registers of a panel: spread activations are read once for them
_UNKNOWN_CACHE = 32 << 20  # bytes that the last cache is taken to hold where nothing tells


def looks_up(machine: Machine) -> bool:
    """Whether a table of 128 bytes in registers tells the weights of a byte in base three."""
    return machine.look_up == "vbmi" and machine.dot == "vpdpbusd"


def ternary_packing(machine: Machine, outputs: int, rows: int, all_weights: int) -> TernaryPacking:
    """How the weights of a layer are packed.

    Five to a byte where each inference reads them from memory: for one row of activations, where the network's
    ternary weights at two bits fill three quarters of the last cache. Elsewhere decoding costs more than it
    saves. Measured on a processor of 32 MiB, times as fast as two bits: 0.63 with 4 MiB of weights, 0.84 with
    16, 1.17 with 24, 1.2 with 32 and more.

    Args:
        machine: the processor.
        outputs: of the layer.
        rows: of its activations.
        all_weights: ternary weights of the network.
    """
    registers = min(_VECTORS, -(-outputs // machine.lanes))
    cache = machine.last_cache or _UNKNOWN_CACHE
    streamed = rows == 1 and all_weights // 4 >= cache * 3 // 4 and looks_up(machine)
    return TernaryPacking(machine.lanes * registers, packing2.DIGITS if streamed else packing2.FIELDS)
