"""A network whose answer takes a while: enough to leave, to queue and to stop meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from edgepress.tensor import TensorSpec
from tests.bundles import model, npy, write_plain

SIDE = 1024
TIMES = 6
GIVEN, MADE = TensorSpec("x", (1,)), TensorSpec("y", (1,))


def write_slow(path: Path) -> Path:
    """A bundle: one number in, some products of large matrices, one number out."""
    generator = np.random.default_rng(0)
    matrix = numpy_helper.from_array(generator.standard_normal((SIDE, SIDE), np.float32) / 32, "matrix")
    nodes = [helper.make_node("Mul", ["matrix", "x"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{n}", "matrix"], [f"m{n + 1}"]) for n in range(TIMES)]
    nodes.append(helper.make_node("ReduceMean", [f"m{TIMES}"], ["mean"], keepdims=0))
    shape = numpy_helper.from_array(np.array([1], np.int64), "shape")
    nodes.append(helper.make_node("Reshape", ["mean", "shape"], ["y"]))
    return write_plain(path, model(nodes, [GIVEN], [MADE], [matrix, shape]), (GIVEN,), (MADE,))


BODY = npy(np.ones(1, np.float32))
