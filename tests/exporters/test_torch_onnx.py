"""From torch modules to ONNX: what comes out is clean, repeatable and equal; what cannot go says why."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from edgepress.errors import CheckError, SourceError, UnsupportedOpError
from edgepress.exporters import export_module
from edgepress.graph.limits import opset_of
from edgepress.tensor import TensorSpec

IMAGE = TensorSpec("image", (1, 3, 16, 16))


class Net(nn.Module):
    """A small residual net with batch norm, dropout and a mean over the plane."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(8)
        norm.running_mean, norm.running_var = torch.rand(8) - 0.5, torch.rand(8) + 0.5
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), norm, nn.ReLU6())
        self.mix = nn.Conv2d(8, 8, 1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)
        x = x + self.mix(x)
        scores: torch.Tensor = self.head(self.drop(x.mean(dim=(2, 3))))
        return scores


class Bessel(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.special.bessel_j0(x)
        return y


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x + 1
        return x


class Where(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nonzero(x)


class Noisy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


class Pair(nn.Module):
    def forward(self, left: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return left[index], left * 2


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return export_module(Net(), [IMAGE], max_opset=18, max_ir=10).model


def test_the_graph_is_clean_and_named_after_the_module(model: onnx.ModelProto) -> None:
    ops = [node.op_type for node in model.graph.node]
    assert not {"BatchNormalization", "Dropout", "Identity", "Constant"} & set(ops)
    assert {node.name for node in model.graph.node} >= {"stem.0/Conv", "mix/Conv", "head/Gemm"}
    assert [item.name for item in model.graph.input] == ["image"]
    assert [item.name for item in model.graph.output] == ["output"]
    text = str(model)
    assert "stack_trace" not in text and not re.search(r"/[\w.-]+/[\w.-]+\.py", text)


def test_every_tensor_has_a_fixed_shape(model: onnx.ModelProto) -> None:
    known = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    for node in model.graph.node:
        for name in node.output:
            assert all(dim.HasField("dim_value") for dim in known[name].type.tensor_type.shape.dim)


def test_the_bytes_repeat(model: onnx.ModelProto) -> None:
    again = export_module(Net(), [IMAGE], max_opset=18, max_ir=10).model
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


@pytest.mark.parametrize(("opset", "ir"), [(15, 8), (17, 8), (21, 10)])
def test_limits_are_kept_and_outputs_stay(opset: int, ir: int) -> None:
    exported = export_module(Net(), [IMAGE], max_opset=opset, max_ir=ir)
    assert opset_of(exported.model) <= opset and exported.model.ir_version <= ir
    assert exported.comparison.max_abs_error < 1e-5 and exported.comparison.cases == 3


def test_an_opset_that_onnx_cannot_convert_to() -> None:
    with pytest.raises(SourceError, match="the target takes 13, and ONNX cannot convert Add; choose"):
        export_module(Net(), [IMAGE], max_opset=13, max_ir=7)


def test_the_mode_of_the_module_is_put_back() -> None:
    net = Net().train()
    export_module(net, [IMAGE], max_opset=18, max_ir=10)
    assert net.training


def test_several_inputs_and_outputs() -> None:
    specs = [TensorSpec("left", (4, 3)), TensorSpec("index", (2,), "int64")]
    example = {"left": np.ones((4, 3), np.float32), "index": np.array([3, 1])}
    names = ["picked", "double"]
    exported = export_module(
        Pair(), specs, example_inputs=example, max_opset=18, max_ir=10, output_names=names
    )
    session = ort.InferenceSession(exported.model.SerializeToString())
    picked, double = session.run(names, example)
    assert picked.shape == (2, 3) and np.array_equal(double, 2 * example["left"])


def test_an_operator_without_an_onnx_form_is_named_with_its_place() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), Bessel()))
    with pytest.raises(UnsupportedOpError, match=r"bessel_j0 \(from 1\.1 \(Bessel\)\)") as caught:
        export_module(net, [IMAGE], max_opset=18, max_ir=10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("net", "says"),
    [(Branch(), r"depends on its values at .*x\.sum\(\) > 0"), (Where(), "changes its shape")],
)
def test_what_torch_cannot_trace_says_why(net: nn.Module, says: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        export_module(net, [IMAGE], max_opset=18, max_ir=10)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_model_that_is_never_the_same_is_refused() -> None:
    with pytest.raises(CheckError, match="differs from torch"):
        export_module(Noisy(), [IMAGE], max_opset=18, max_ir=10)


@pytest.mark.parametrize(
    ("names", "says"), [(["a", "b"], "gives 1 outputs"), (["image"], "names an input and an output")]
)
def test_output_names_that_do_not_fit(names: list[str], says: str) -> None:
    with pytest.raises(SourceError, match=says):
        export_module(Net(), [IMAGE], max_opset=18, max_ir=10, output_names=names)


def test_an_example_of_the_wrong_shape() -> None:
    with pytest.raises(SourceError, match="must be float32"):
        example = {"image": np.zeros((1, 3, 8, 8), np.float32)}
        export_module(Net(), [IMAGE], example_inputs=example, max_opset=18, max_ir=10)


def test_an_opset_older_than_any_that_is_written() -> None:
    with pytest.raises(SourceError, match="opset 9 is older"):
        export_module(Net(), [IMAGE], max_opset=9, max_ir=4)


class Optional(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor, c: float = 2.0) -> torch.Tensor:
        return a - b * c


@pytest.mark.parametrize("names", ["b", "bb", "ac", "xb", "abcd", "ba.", ""])
def test_inputs_that_are_not_those_of_forward(names: str) -> None:
    says = "'b' is given twice" if names == "bb" else r"forward takes a, b, c, not .*--input .*a, b"
    if names == "xb":  # in its place: x stands for a
        export_module(Optional(), [TensorSpec(name, (2,)) for name in names], max_opset=18, max_ir=10)
        return
    with pytest.raises(SourceError, match=says):
        export_module(Optional(), [TensorSpec(name, (2,)) for name in names], max_opset=18, max_ir=10)


def test_inputs_are_found_by_name_in_any_order() -> None:
    specs = [TensorSpec("b", (2,)), TensorSpec("a", (2,))]
    model = export_module(Optional(), specs, max_opset=18, max_ir=10).model
    feed = {"a": np.array([5, 5], np.float32), "b": np.array([1, 2], np.float32)}
    assert ort.InferenceSession(model.SerializeToString()).run(None, feed)[0].tolist() == [3.0, 1.0]


class Chatty(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("here I am")
        return x + 1


class Leaving(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise SystemExit(3)


def test_what_a_module_prints_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    export_module(Chatty(), [TensorSpec("x", (2,))], max_opset=18, max_ir=10)
    said = capsys.readouterr()
    assert said.out == "" and "here I am" in said.err


def test_a_module_that_ends_the_program_is_refused() -> None:
    with pytest.raises(SourceError):
        export_module(Leaving(), [TensorSpec("x", (2,))], max_opset=18, max_ir=10)
