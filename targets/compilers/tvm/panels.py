"""Weights of dense operators as the CPU engine reads them: outputs last, in panels as wide as a tile."""

from __future__ import annotations

import numpy as np


def pack(weight: np.ndarray, panel: int) -> np.ndarray:
    """``[outputs, inputs, *window]`` as ``[panels, *window, inputs, panel]``, zeros after the last output."""
    outputs = weight.shape[0]
    panels = -(-outputs // panel)
    padded = np.zeros((panels * panel, *weight.shape[1:]), weight.dtype)
    padded[:outputs] = weight
    split = padded.reshape(panels, panel, *weight.shape[1:])
    return np.ascontiguousarray(split.transpose(0, *range(3, split.ndim), 2, 1))


def outputs_last(weight: np.ndarray) -> np.ndarray:
    """``[outputs, inputs, *window]`` as ``[*window, inputs, outputs]``."""
    return np.ascontiguousarray(weight.transpose(*range(2, weight.ndim), 1, 0))
