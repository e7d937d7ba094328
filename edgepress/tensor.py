"""What a tensor looks like from outside: a name, a shape, an element type, a range of values."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from edgepress.errors import UsageError

DTYPES = (
    "float32", "float16", "float64", "int8", "uint8", "int16", "uint16",
    "int32", "uint32", "int64", "uint64", "bool",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_./\-]+\Z")
_EXTENT = re.compile(r"-?[0-9]+\Z")
_SCALAR = "scalar"
_LARGEST_ELEMENTS = 1 << 34


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph.

    Attributes:
        name: the tensor's name in the graph.
        shape: extents, outermost first; every extent is known at build time.
        dtype: a NumPy type name, one of :data:`DTYPES`.
        range: the least and the greatest value seen while building, where that is known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    range: tuple[float, float] | None = None

    @property
    def elements(self) -> int:
        """How many elements the tensor holds."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    @property
    def bytes(self) -> int:
        """How many bytes the tensor takes, densely packed."""
        return self.elements * np.dtype(self.dtype).itemsize

    @classmethod
    def parse(cls, text: str) -> TensorSpec:
        """Read ``name:1x3x224x224:float32``, the form of ``--input``; the type may be left out.

        A tensor without axes is written ``name:scalar``.

        Raises:
            UsageError: the text does not have that form.
        """
        fields = text.split(":")
        if len(fields) not in (2, 3) or not _NAME.match(fields[0]):
            raise UsageError(
                f"--input {text!r} is not name:shape:dtype; write for example image:1x3x224x224:float32"
            )
        try:
            shape = _extents(fields[1])
        except ValueError:
            raise UsageError(
                f"the shape {fields[1]!r} in --input {text!r} is not numbers joined by x, such as 1x3x224x224, "
                "nor the word scalar"
            ) from None
        dtype = fields[2] if len(fields) == 3 else "float32"
        spec = cls(fields[0], shape, dtype)
        if dtype not in DTYPES:
            raise UsageError(
                f"the type {dtype!r} in --input {text!r} is unknown; choose one of {', '.join(DTYPES)}"
            )
        if any(extent < 1 for extent in shape) or spec.elements > _LARGEST_ELEMENTS:
            raise UsageError(
                f"the shape {fields[1]!r} in --input {text!r} must have extents from 1 on and fit in memory"
            )
        return spec


def _extents(text: str) -> tuple[int, ...]:
    if text == _SCALAR:
        return ()
    words = re.split(r"[x,]", text)
    if not all(_EXTENT.match(word) for word in words):
        raise ValueError(text)
    return tuple(map(int, words))
