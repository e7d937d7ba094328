"""What a dense layer of dynamic rows computes: how each row becomes eight-bit codes, how weights are packed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np

from edgepress.targets.compilers.tvm import packing2
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.packing2 import BYTES, FIELDS, pack2, pack5, pack_words

ROW_CODES = "ep.row_codes"  # the attribute of a PrimFunc that stands for rows made codes
TERNARY = "ternary"  # the kernel mark of sums by ternary weights
DIGITS = "ep.digits"  # how many of them are in a byte
TOGETHER = "ep.together"  # how many codes of a row lie together


@dataclass(frozen=True)
class RowCodes:
    """``s = levels / max(largest |x|, least)`` and ``clip(round(x · s), −128, 127) + offset`` of each row.

    Attributes:
        rows, width: of ``x``.
        padded: codes of a row with the zeros behind them.
        together: how many codes of a row lie together, those of the other rows behind them; all, or fewer.
        levels: what a row's largest magnitude becomes.
        least: what a row's largest magnitude is taken as at least.
        offset: 128 for unsigned codes, else 0; zeros behind a row stay 0.
        reciprocal: whether ``1 / m`` is rounded before it is multiplied by the levels.
    """

    rows: int
    width: int
    padded: int
    together: int
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
        bytes: of an output in a run: 4, or a register's where products are summed a register at a time.
        word: bits of a word where code is scalar, else 0.
        turns: whether rows of codes lie beside one another run by run, so that several are read at once.
    """

    lanes: int
    digits: int
    bytes: int
    word: int = 0
    turns: bool = False

    @property
    def run(self) -> int:
        """Inputs of a run, to a multiple of which rows are padded."""
        return 1 if self.word else self.digits * self.bytes

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """``[outputs, inputs]`` packed, as :mod:`packing2` says."""
        if self.word:
            return pack_words(weight, self.word)
        if self.digits == packing2.DIGITS:
            return pack5(weight, self.lanes)
        return pack2(weight, self.lanes, each=self.bytes)


_VECTORS = 2  # registers of a panel: spread activations are read once for them
_BY_LANE = 4  # the same where an instruction takes four activations from a lane, and has few rows
_FEW_ROWS = 5  # rows up to which their sums fit the registers beside so many
_MANY_ROWS = 17  # rows from which on a panel is unpacked once for all of them
MOST_UNPACKED = 32768  # bytes of an unpacked panel on the stack, which the first cache holds
_WIDE = ("aarch64", "riscv64", "wasm32", "x86_64")  # with words of 64 bits
_UNKNOWN_CACHE = 32 << 20  # bytes that the last cache is taken to hold where nothing tells


def looks_up(machine: Machine) -> bool:
    """Whether a table of 128 bytes in registers tells the weights of a byte in base three."""
    return machine.look_up == "vbmi" and machine.dot == "vpdpbusd"


def ternary_packing(
    machine: Machine, outputs: int, inputs: int, rows: int, all_weights: int
) -> TernaryPacking:
    """How weights ``[outputs, inputs]`` of a layer are packed, for so many rows.

    Five to a byte where each inference reads them from memory: for one row of activations, where the network's
    ternary weights at two bits fill three quarters of the last cache. Elsewhere decoding costs more than it
    saves. Measured on a processor of 32 MiB, times as fast as two bits: 0.63 with 4 MiB of weights, 0.84 with
    16, 1.17 with 24, 1.2 with 32 and more.

    Args:
        machine: the processor.
        outputs, inputs: of the layer.
        rows: of its activations.
        all_weights: ternary weights of the network.
    """
    if machine.lanes == 1:
        return TernaryPacking(1, FIELDS, 0, 64 if machine.arch in _WIDE else 32)
    if machine.dot == "smull":
        return TernaryPacking(machine.lanes, FIELDS, 4 * machine.lanes)
    most, turns = _VECTORS, machine.dot == "sdot" and rows > 1
    if machine.dot == "sdot":
        unpacked = rows >= _MANY_ROWS and _BY_LANE * machine.lanes * inputs <= MOST_UNPACKED
        most = _BY_LANE if unpacked or rows <= _FEW_ROWS else _VECTORS
    registers = min(most, -(-outputs // machine.lanes))
    cache = machine.last_cache or _UNKNOWN_CACHE
    streamed = rows == 1 and all_weights // 4 >= cache * 3 // 4 and looks_up(machine)
    digits = packing2.DIGITS if streamed else FIELDS
    return TernaryPacking(machine.lanes * registers, digits, BYTES, turns=turns)
