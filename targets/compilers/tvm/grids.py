"""Eight-bit grids: which real number each step stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """A scalar quantisation: ``real = scale · (step − zero)`` over the range of ``dtype``, int8 or uint8."""

    scale: float
    zero: int
    dtype: str

    @property
    def low(self) -> float:
        """The smallest step, counted from the zero point."""
        return float(np.iinfo(self.dtype).min - self.zero)

    @property
    def high(self) -> float:
        """The largest step, counted from the zero point."""
        return float(np.iinfo(self.dtype).max - self.zero)

    def quantize(self, value: float) -> int:
        """The nearest step to a real value, ties to even, saturated."""
        info = np.iinfo(self.dtype)
        step = np.rint(np.float32(value) / np.float32(self.scale)) + self.zero
        return int(np.clip(step, info.min, info.max))


def grid_of(constants: Mapping[str, np.ndarray], names: Sequence[str]) -> Grid | None:
    """The grid that constant scalars describe: scale, and zero point where it is given; or None."""
    scale, zero = names[0], names[1] if len(names) > 1 else ""
    if scale not in constants or (zero and zero not in constants):
        return None
    s, z = constants[scale], constants[zero] if zero else np.zeros((), np.uint8)
    if s.size != 1 or z.size != 1 or z.dtype not in (np.int8, np.uint8):
        return None
    return Grid(float(s.reshape(())), int(z.reshape(())), str(z.dtype))
