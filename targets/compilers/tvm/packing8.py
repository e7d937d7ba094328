"""How eight-bit dense weights lie in memory for a processor's multiply-add, and what activations it takes.

A processor that sums ``depth`` neighbouring products at a time reads its weights as
``[panels, *window, inputs / depth, panel, depth]``: each register then holds ``depth`` inputs of
neighbouring columns. An instruction takes activations of one sign only; the others are moved by 128
as they are read, and the bias takes that back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgepress.targets.compilers.tvm.machine import Machine

TAPS = 4  # taps of a row that one multiply-add of a depthwise convolution covers
INPUTS = 4  # inputs are padded to a multiple of this with weights of zero


@dataclass(frozen=True)
class Packing:
    """How weights are packed.

    Attributes:
        panel: columns of a panel.
        depth: inputs that lie together for each column; 1 is a plain panel.
        rows: the type that activations must have: ``"int8"``, ``"uint8"``, or empty for either.
        dot: the instruction that sums the products, as :mod:`schedule.dot` names it; empty where
            there is none.
    """

    panel: int
    depth: int
    rows: str
    dot: str

    def offset(self, dtype: str) -> int:
        """What is added to each activation of a type as it is read."""
        if self.depth == 1 or not self.rows or dtype == self.rows:
            return 0
        return 128 if self.rows == "uint8" else -128


def packing_of(machine: Machine, weight: np.ndarray, plain_panel: int) -> Packing:
    """The packing of one operator's weights; ``plain_panel`` is the panel where no depth is of use."""
    lanes = machine.lanes
    if machine.dot == "sdot":
        return Packing(4 * lanes, 4, "int8", "sdot")
    if machine.dot == "vpdpbusd":
        return Packing(2 * lanes, 4, "uint8", "vpdpbusd")
    if machine.dot in ("vpmaddubsw", "vpmaddwd"):
        dot = machine.dot if pairs_fit(weight) else "vpmaddwd"
        return Packing(2 * lanes, 4, "uint8", dot)
    # Two products of −128 by −128 leave 16 bits.
    if machine.dot == "smull" and weight.min(initial=0) > -128:
        return Packing(4 * lanes, 2, "int8", "smull")
    return Packing(plain_panel, 1, "", "")


def pairs_fit(weight: np.ndarray) -> bool:
    """Whether two neighbouring products with activations of 0 … 255 always leave a sum of 16 bits.

    ``weight`` is ``[outputs, inputs, ...]``; inputs are taken two by two. So it is wherever weights have
    seven bits: 255 · 64 · 2 = 32,640.
    """
    wide = weight.astype(np.int32)
    if weight.shape[1] % 2:
        wide = np.concatenate([wide, np.zeros_like(wide[:, :1])], 1)
    pairs = wide.reshape(len(wide), -1, 2, *wide.shape[2:])
    most, least = np.maximum(pairs, 0).sum(2), np.minimum(pairs, 0).sum(2)
    return bool(255 * most.max(initial=0) <= 32767 and 255 * least.min(initial=0) >= -32768)


def moved_bias(machine: Machine, weight: np.ndarray, bias: np.ndarray, dtype: str) -> tuple[np.ndarray, int]:
    """The bias of weights ``[outputs, ...]``, and what the target's instruction wants added to activations."""
    offset = packing_of(machine, weight, 1).offset(dtype)
    sums = weight.reshape(len(weight), -1).sum(1, dtype=np.int32)
    return (bias - np.int32(offset) * sums if offset else bias), offset


def pack(weight: np.ndarray, packing: Packing) -> np.ndarray:
    """``[outputs, inputs, *window]`` packed, zeros after the last output and the last input.

    At a depth of 1 inputs are as many as there are.
    """
    outputs, inputs = weight.shape[:2]
    panel, depth = packing.panel, packing.depth
    whole = INPUTS if depth > 1 else 1
    panels, deep = -(-outputs // panel), -(-inputs // whole) * whole // depth
    padded = np.zeros((panels * panel, deep * depth, *weight.shape[2:]), weight.dtype)
    padded[:outputs, :inputs] = weight
    split = padded.reshape(panels, panel, deep, depth, *weight.shape[2:])
    return np.ascontiguousarray(split.transpose(0, *range(4, split.ndim), 2, 1, 3))


def runs_of(taps: int) -> tuple[int, int]:
    """How many runs of four pixels a row of taps touches, from its first pixel and from the one before."""
    return -(-taps // TAPS), -(-(taps + 1) // TAPS)


def depthwise_dot(machine: Machine, weight: np.ndarray, dilation: int) -> str:
    """The instruction that depthwise weights ``[channels, 1, *window]`` are packed for: empty where none.

    Each is one that sums four products; runs begin at either phase, so any two taps may meet.
    """
    if len(weight) < 8 or dilation != 1 or machine.dot not in ("sdot", "vpdpbusd", "vpmaddubsw"):
        return ""
    return (
        "" if machine.dot == "vpmaddubsw" and not -64 <= weight.min() <= weight.max() <= 64 else machine.dot
    )


def pack_depthwise(weight: np.ndarray, lanes: int) -> np.ndarray:
    """``[*window, channels]`` as ``[blocks, *rows, runs, 4, lanes / 4, 4, 4 taps]``.

    A block is ``4 · lanes`` channels. Runs come twice: as an output that begins at the run's first pixel
    needs them, and as one that begins at its second. Channels lie as interleaving the bytes of four
    pixels within runs of sixteen leaves them: the last axes are a quarter of sixteen, the sixteen, a
    channel of the quarter, and the tap.
    """
    *rows, taps, channels = weight.shape
    block = 4 * lanes
    blocks = -(-channels // block)
    first, second = runs_of(taps)
    full = np.zeros((*rows, (first + second) * TAPS, blocks * block), weight.dtype)
    full[..., :taps, :channels] = weight
    full[..., first * TAPS + 1 : first * TAPS + 1 + taps, :channels] = weight
    split = full.reshape(*rows, first + second, TAPS, blocks, lanes // 4, 4, 4)
    n = len(rows)
    order = (n + 2, *range(n), n, n + 4, n + 3, n + 5, n + 1)
    return np.ascontiguousarray(split.transpose(order))


def slides(machine: Machine, zero: int) -> bool:
    """Whether packed depthwise weights are for the kernel that pads inside, where padding adds nothing.

    ``zero`` is the zero point as the multiply-add takes it.
    """
    return machine.dot == "vpdpbusd" and machine.lanes == 16 and zero == 0


def with_blank_row(packed: np.ndarray, channels: int) -> np.ndarray:
    """Packed depthwise weights as the kernel that pads inside reads them.

    Windows of two dimensions get a last row of zeros, for rows outside the image. Channels of the last block
    that fill a half or a quarter of it come twice or four times: registers hold as many parts of a row.
    """
    repeated = _repeated(packed, channels)
    return np.concatenate([repeated, np.zeros_like(repeated[:, :1])], 1) if packed.ndim == 7 else repeated


def channel_order(value: np.ndarray, lanes: int) -> np.ndarray:
    """``[channels]`` as ``[blocks, 4, lanes / 4, 4]``: in the order of packed depthwise weights."""
    block = 4 * lanes
    full = np.zeros(-(-len(value) // block) * block, value.dtype)
    full[: len(value)] = value
    ordered = full.reshape(-1, lanes // 4, 4, 4).transpose(0, 2, 1, 3)[..., None]
    return np.ascontiguousarray(_repeated(ordered, len(value))[..., 0])


def _repeated(packed: np.ndarray, channels: int) -> np.ndarray:
    """``[blocks, ..., 4, runs, 4, ...]`` of two axes behind the runs, with those of the last block repeated."""
    made, runs = packed.copy(), packed.shape[-3]
    filled = -(-channels // 16) - (len(packed) - 1) * runs
    if filled in (1, 2):
        for first in range(filled, runs, filled):
            made[-1, ..., first : first + filled, :, :] = packed[-1, ..., :filled, :, :]
    return made
