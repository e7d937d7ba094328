"""Methods are found by name and set by checked keys."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgepress import methods
from edgepress.errors import MissingExtraError, UsageError
from edgepress.methods import Part, Pressed, configure, find_method, method_names
from edgepress.methods.int8 import Int8Config
from edgepress.progress import silent
from tests.graph.graphs import build


def test_the_built_in_ones() -> None:
    assert set(method_names()) >= {"none", "int8", "ternary"}
    with pytest.raises(UsageError, match=r"no method is called 'in8' .did you mean 'int8'"):
        find_method("in8")


def test_none_changes_nothing() -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {})
    method = find_method("none")
    assert method.press(model, [], method.config(), "uint8", silent).graph == model


def test_a_method_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        [
            EntryPoint("mine", "edgepress.methods.none:METHOD", methods.GROUP),
            EntryPoint("odd", "edgepress.methods.none:press", methods.GROUP),
        ]
    )
    monkeypatch.setattr(methods, "entry_points", lambda group: points.select(group=group))
    assert "mine" in method_names() and find_method("mine").name == "none"
    with pytest.raises(UsageError, match="registered as function"):
        find_method("odd")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("edgepress.methods.ternary", "edgepress.training"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(
        MissingExtraError, match=r"ternary needs safetensors; install it with: pip install 'edgepress.train"
    ):
        find_method("ternary")


def test_keys_are_checked() -> None:
    config = configure(find_method("int8"), {"percentile": 100, "float_nodes": ["a/*"], "calibration": "mse"})
    assert config == Int8Config(calibration="mse", percentile=100.0, float_nodes=("a/*",))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"percentil": 99}, "unknown key 'percentil' .did you mean 'percentile'"),
        ({"calibration": "best"}, "one of 'minmax', 'percentile', 'entropy', 'mse', not 'best'"),
        ({"percentile": "high"}, "'percentile' must be a number, not the text 'high'"),
        ({"percentile": 10}, "percentile 10.0 is not above 50"),
        ({"weight_bits": 4}, "weight_bits is 7 or 8"),
        ({"weight_bits": True}, "'weight_bits' must be a whole number, not true"),
        ({"per_channel": 1}, "'per_channel' must be true or false, not the number 1"),
        ({"float_nodes": "a"}, "'float_nodes' must be a list, not the text 'a'"),
        ({"float_nodes": [1]}, "must be text, not the number 1"),
    ],
)
def test_bad_keys(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        configure(find_method("int8"), keys)


def test_a_single_graph_is_asked_of_several_parts() -> None:
    pressed = Pressed({"encoder": Part(), "decoder": Part(tables={"cdf": np.zeros(3)})})
    with pytest.raises(ValueError, match="encoder, decoder"):
        _ = pressed.graph
