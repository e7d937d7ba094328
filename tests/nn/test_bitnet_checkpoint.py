"""Packed BitNet checkpoints: the packing axis, both conventions of the scale, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from edgepress.errors import SourceError
from edgepress.nn.bitnet_checkpoint import load_checkpoint, pack_codes, unpack_codes
from edgepress.nn.ternary_frozen import FrozenTernary


@given(st.integers(1, 19), st.integers(1, 9), st.integers(0, 999))
def test_codes_come_back(outputs: int, inputs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(-1, 2, (outputs, inputs), generator=generator).to(torch.int8)
    packed = pack_codes(codes)
    assert packed.shape == (-(-outputs // 4), inputs)
    assert torch.equal(unpack_codes(packed, outputs), codes)


def test_codes_lie_along_the_outputs() -> None:
    """The example of the library's own documentation, worked out by hand."""
    packed = torch.tensor([[0b10100001, 0b00011000], [0b10010000, 0b00001010]], dtype=torch.uint8)
    wanted = [[0, -1], [-1, 1], [-1, 1], [-1, 1], [1, 0], [0, -1], [1, -1], [1, -1]]
    assert unpack_codes(packed, 8).tolist() == wanted


def _network() -> nn.Sequential:
    return nn.Sequential(
        nn.Embedding(11, 16), nn.Linear(16, 24), nn.LayerNorm(24), nn.Linear(24, 5, bias=False)
    )


def _checkpoint(scale: float) -> dict[str, Tensor]:
    torch.manual_seed(3)
    codes = torch.randint(-1, 2, (24, 16)).to(torch.int8)
    return {
        "0.weight": torch.randn(11, 16), "1.weight": pack_codes(codes), "1.weight_scale": torch.tensor([scale]),
        "1.bias": torch.randn(24), "2.weight": torch.rand(24), "2.bias": torch.randn(24),
        "3.weight": torch.randn(5, 24),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["bitlinear", "autobitlinear"])
def test_both_classes_compute_as_the_library_says(tmp_path: Path, kind: str) -> None:
    found = _checkpoint(0.5 if kind == "autobitlinear" else 2.0)
    save_file(found, tmp_path / "model.safetensors")
    module = _network().eval()
    load_checkpoint(module, tmp_path / "model.safetensors", kind)  # type: ignore[arg-type]
    layer = module[1]
    assert isinstance(layer, FrozenTernary)
    x = torch.randn(7, 16)
    codes = unpack_codes(found["1.weight"], 24).float()
    s = 127 / x.abs().amax(-1, keepdim=True)
    q = (x * s).round().clamp(-128, 127)
    if kind == "bitlinear":
        wanted = q @ codes.T / (s * found["1.weight_scale"]) + found["1.bias"]
    else:
        wanted = (q / s @ codes.T + found["1.bias"]) * found["1.weight_scale"]
    torch.testing.assert_close(layer(x), wanted)
    assert torch.equal(module[3].get_parameter("weight"), found["3.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"1.weight": torch.zeros(5, 16, dtype=torch.uint8)}, "does not pack 24 outputs"),
        ({"1.weight": torch.full((6, 16), 255, dtype=torch.uint8)}, "a code is none of"),
        ({"1.weight": torch.zeros(6, 12, dtype=torch.uint8)}, "has 12 inputs"),
        ({"1.weight_scale": torch.tensor([float("nan")])}, "a scale is one positive number"),
        ({"1.weight_scale": torch.ones(24)}, "a scale is one positive number"),
        ({"9.weight": torch.zeros(6, 16, dtype=torch.uint8)}, "no linear layer '9'"),
        ({"9.weight": torch.zeros(3)}, "has '9.weight' beside"),
        ({"3.weight": None}, "lacks '3.weight'"),
        ({"3.weight": torch.zeros(5, 25)}, "does not fit"),
        ({"1.weight": torch.zeros(24, 16)}, "has '1.weight_scale' beside"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, change: dict[str, Tensor | None], message: str) -> None:
    found = {name: value for name, value in {**_checkpoint(1.0), **change}.items() if value is not None}
    save_file(found, tmp_path / "model.safetensors")
    with pytest.raises(SourceError, match=message):
        load_checkpoint(_network(), tmp_path / "model.safetensors")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 50)
    with pytest.raises(SourceError, match="no safetensors file"):
        load_checkpoint(_network(), tmp_path / "model.safetensors")
