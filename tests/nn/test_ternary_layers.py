"""Ternary layers in a network: replaced by rule, trained, frozen, exported, and equal all the way."""

from __future__ import annotations

import itertools

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from edgepress.errors import SourceError, UsageError
from edgepress.exporters.torch_onnx import export_module
from edgepress.nn import (
    Kept,
    Ternary,
    TernaryConv1d,
    TernaryConv2d,
    TernaryLinear,
    TernaryOutput,
    set_phase,
    ternarise,
)
from edgepress.nn.ternary_frozen import FrozenTernary, freeze
from edgepress.tensor import TensorSpec


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, (3, 1), padding=(1, 0), dilation=1), nn.BatchNorm2d(32), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))  # type: ignore[no-any-return]


def _trained(how: Ternary) -> Pictures:
    torch.manual_seed(0)
    module = Pictures()
    ternarise(module, how)
    rule = torch.optim.Adam(module.parameters(), 1e-3)
    inner = module.body.get_submodule("3").get_parameter("weight")
    before = inner.detach().clone()
    for _ in range(3):
        loss = module(torch.randn(8, 3, 12, 12)).square().mean()
        rule.zero_grad()
        loss.backward()
        rule.step()
    assert not torch.equal(before, inner)
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.weight.data[::3] *= -1  # a negative gain turns codes' signs
    return module.eval()


@pytest.mark.parametrize(
    ("activations", "per_channel"), list(itertools.product(["auto", "dynamic", "static"], [False, True]))
)
def test_torch_the_frozen_network_and_its_graph_agree(activations: str, per_channel: bool) -> None:
    how = Ternary(activations=activations, per_channel=per_channel)  # type: ignore[arg-type]
    module = _trained(how)
    frozen = freeze(module)
    assert not any(isinstance(each, TernaryLinear | TernaryConv2d) for each in frozen.modules())
    assert sum(isinstance(each, nn.BatchNorm2d) for each in frozen.modules()) == 1  # the float layer's
    x = torch.randn(1, 3, 12, 12)
    with torch.no_grad():
        given, wanted = frozen(x), module(x)
    # Biases of static layers are rounded to the sums' steps: some activations round the other way.
    assert float((given - wanted).norm() / wanted.norm()) < 0.1
    if activations == "dynamic":
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-5)
    spec = TensorSpec("x", (1, 3, 12, 12), "float32")
    model = export_module(frozen, [spec], max_opset=20, max_ir=10, tolerance=0.05).model
    weights = [t for t in model.graph.initializer if t.data_type == 3 and len(t.dims) > 1]
    codes = [np.frombuffer(t.raw_data, np.int8) for t in weights]
    assert len(codes) == 3 and all(set(np.unique(each)) <= {-1, 0, 1} for each in codes)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    worst = []
    for _ in range(9):
        x = torch.randn(1, 3, 12, 12)
        (plain,) = session.run(None, {"x": x.numpy()})
        with torch.no_grad():
            worst.append(float(np.abs(plain - frozen(x).numpy()).max()))
    # Where sums are added up in another order, one activation in 100,000 may round the other way.
    assert sorted(worst)[4] <= 1e-5 and max(worst) <= 0.05


def test_no_scale_is_applied_to_the_bias() -> None:
    layer = TernaryLinear(64, 8)
    nn.init.constant_(layer.bias, 3.0)
    with torch.no_grad():
        torch.testing.assert_close(layer(torch.zeros(2, 64)), torch.full((2, 8), 3.0))


def test_phase_zero_is_the_float_layer() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40), nn.Linear(40, 4))
    wanted = plain(torch.ones(1, 40))
    ternarise(plain, Ternary(norm=False))
    assert not torch.allclose(plain(torch.ones(1, 40)), wanted)
    set_phase(plain, 0.0)
    torch.testing.assert_close(plain(torch.ones(1, 40)), wanted)
    with pytest.raises(ValueError, match="from 0 to 1"):
        set_phase(plain, 1.5)


def test_rules_leave_the_first_the_last_the_named_the_small_and_the_grouped() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.Conv2d(16, 64, 3, groups=2), nn.Conv2d(64, 2, 1), nn.Conv2d(2, 256, 3),
        nn.Conv2d(256, 64, 1), nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 10),
    )  # fmt: skip
    kept = ternarise(module, skip=["6"])
    assert kept == (
        Kept("0", "the first layer"), Kept("1", "a convolution in 2 groups"), Kept("2", "only 128 weights"),
        Kept("6", "named to be left"), Kept("7", "the last layer"),
    )  # fmt: skip
    assert isinstance(module[3], TernaryConv2d) and isinstance(module[4], TernaryConv2d)


def test_bad_networks_and_rules_are_refused_by_name() -> None:
    module = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64))
    with pytest.raises(UsageError, match=r"no layer to leave is called 'head\.\*'"):
        ternarise(module, skip=["head.*"])
    with torch.no_grad():
        module[1].get_parameter("weight")[3, 3] = float("nan")
    with pytest.raises(SourceError, match="the weight of 1 holds NaN or infinity"):
        ternarise(module)
    with pytest.raises(SourceError, match="no layer of Sequential can become ternary"):
        ternarise(nn.Sequential(nn.ReLU()))
    with pytest.raises(SourceError, match="no layer of Sequential can become ternary"):
        ternarise(nn.Sequential(nn.Linear(64, 64)))


def test_an_output_layer_shares_its_embedding() -> None:
    table = nn.Embedding(50, 32)
    layer = TernaryOutput(table)
    assert layer.weight is table.weight and layer(torch.randn(2, 32)).shape == (2, 50)

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(50, 32), nn.Linear(32, 50, bias=False)
            self.out.weight = self.table.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.out(self.table(tokens))  # type: ignore[no-any-return]

    module = Tied()
    ternarise(module, skip_first=False, skip_last=False)
    assert isinstance(module.out, TernaryOutput) and module.out.weight is module.table.weight


def test_one_dimension_freezes_too() -> None:
    torch.manual_seed(1)
    module = nn.Sequential(TernaryConv1d(16, 24, 5, padding=2, stride=2), nn.BatchNorm1d(24)).train()
    module(torch.randn(4, 16, 30))
    module.eval()
    frozen = freeze(module)
    assert [type(each) for each in frozen.children()] == [FrozenTernary, nn.Identity]
    x = torch.randn(4, 16, 30)
    with torch.no_grad():
        torch.testing.assert_close(frozen(x), module(x), atol=0.02, rtol=0.02)


class _Reader(nn.Module):
    """Scores the next of 9 tokens with torch's own encoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 32)
        self.layer = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.last = nn.Linear(32, 9)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.last(self.layer(self.table(tokens)))
        return scores


def test_torchs_encoder_layer_computes_with_ternary_weights_in_evaluation_too() -> None:
    torch.manual_seed(0)
    module = _Reader()
    kept = {each.name: each.why for each in ternarise(module, skip_first=False)}
    assert "without calling it" in kept["layer.self_attn.out_proj"] and set(kept) == {
        "layer.self_attn.out_proj",
        "last",
    }
    tokens = torch.randint(0, 9, (2, 7))
    with torch.no_grad():
        trained = module.train()(tokens)
        torch.testing.assert_close(module.eval()(tokens), trained)
        torch.testing.assert_close(freeze(module)(tokens), trained, rtol=1e-4, atol=1e-5)
    spec = [TensorSpec("tokens", (1, 7), "int64")]
    example = {"tokens": tokens[:1].numpy()}
    export_module(
        freeze(module), spec, example_inputs=example, max_opset=20, max_ir=10, tolerance=1e-5, rounds=True
    )
