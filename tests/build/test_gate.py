"""What the gate says of a pressed network, in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgepress.build.gate import judge
from edgepress.progress import silent
from edgepress.recipe import GateLimits
from edgepress.samples import Samples


def _scaled(path: Path, factor: float) -> Path:
    """A graph whose two scores are its input times a factor."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy")
    by = helper.make_tensor("by", TensorProto.FLOAT, [], [factor])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "by"], ["y"])], "g", [x], [y], [by])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("first", "second", "passes", "words"),
    [
        (1.0, -1.0, False, "accuracy lost 100.0% (limit 1.0%)"),
        (-1.0, 1.0, True, "accuracy gained 100.0% (limit: 1.0% lost)"),
        (1.0, 1.0, True, "accuracy lost 0.0% (limit 1.0%)"),
    ],
)
def test_a_gain_is_not_told_as_a_loss(
    tmp_path: Path, first: float, second: float, passes: bool, words: str
) -> None:
    feeds = [{"x": np.array([[1.0, 0.0]], np.float32)}, {"x": np.array([[0.0, 1.0]], np.float32)}]
    samples = Samples("digest", "two examples", 2, lambda: feeds, (0, 1))
    graphs = _scaled(tmp_path / "float.onnx", first), _scaled(tmp_path / "pressed.onnx", second)
    judgement = judge(*graphs, samples, GateLimits(accuracy_drop=0.01), "y", silent)
    assert judgement.passed is passes and words in judgement.sentence
