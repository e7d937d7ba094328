"""What a part is run on when only its speed is asked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgepress.bundle import Bundle
from edgepress.runtimes.engine import Arrays
from edgepress.tensor import TensorSpec


def example_inputs(bundle: Bundle, part: str) -> Arrays:
    """The part's first golden inputs; where it has none, seeded numbers of each input's shape and type.

    Whole numbers lie in the range seen while building; where none is known they are 0 and 1, which are
    tokens of any vocabulary.

    Raises:
        BundleError: the golden example is damaged.
    """
    record = bundle.manifest.parts[part]
    if record.golden:
        found = bundle.golden(part)[0][0]
        if found.keys() == {tensor.name for tensor in record.inputs}:
            return found
    generator = np.random.default_rng(0)
    return {tensor.name: _numbers(tensor, generator) for tensor in record.inputs}


def _numbers(tensor: TensorSpec, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    kind = np.dtype(tensor.dtype).kind
    if kind == "f":
        return generator.standard_normal(tensor.shape).astype(tensor.dtype)
    least, most = 0, 1
    if kind != "b" and tensor.range is not None:
        limits = np.iinfo(tensor.dtype)
        least = max(math.ceil(tensor.range[0]), int(limits.min))
        most = min(math.floor(tensor.range[1]), int(limits.max), (1 << 62))
        if least > most:
            least, most = 0, 1
    return generator.integers(least, most, tensor.shape, np.int64, endpoint=True).astype(tensor.dtype)
