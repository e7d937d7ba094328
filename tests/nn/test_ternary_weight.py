"""Ternary weights and eight-bit activations against their formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgepress.nn import Ternary, ternary_codes, weight_scale
from edgepress.nn.activations import LearnedRange, quantised_rows
from edgepress.nn.ternary_weight import ternary_weight

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 33))


def _weight(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@given(SHAPES, st.integers(0, 1 << 16), st.sampled_from(["median", "mean"]), st.booleans())
def test_codes_and_scales_are_the_papers(
    shape: tuple[int, int], seed: int, measure: str, per_channel: bool
) -> None:
    weight = _weight(shape, seed)
    magnitude = np.abs(weight.numpy())
    of = getattr(np, measure)
    middle = of(magnitude, axis=1, keepdims=True) if per_channel else of(magnitude, keepdims=True)
    scale = weight_scale(weight, measure, per_channel)
    assert scale.shape == middle.shape
    np.testing.assert_allclose(scale.numpy(), 1 / np.maximum(middle, 1e-5), rtol=1e-6)
    wanted = np.clip(np.round(weight.numpy() * scale.numpy()), -1, 1)
    np.testing.assert_array_equal(ternary_codes(weight, scale).numpy(), wanted)


def test_the_median_of_an_even_number_is_the_middle_twos_mean() -> None:
    assert weight_scale(torch.tensor([[1.0, 2.0, -4.0, 8.0]])).item() == pytest.approx(1 / 3)


def test_an_all_zero_weight_gives_zeros_and_a_finite_scale() -> None:
    scale = weight_scale(torch.zeros(4, 8), per_channel=True)
    assert torch.isfinite(scale).all()
    assert not ternary_codes(torch.zeros(4, 8), scale).any()


@pytest.mark.parametrize("phase", [0.0, 0.5, 1.0])
def test_quantisation_phases_in_and_gradients_pass_straight(phase: float) -> None:
    weight = _weight((6, 10), 1).requires_grad_()
    made = ternary_weight(weight, Ternary(), phase)
    scale = weight_scale(weight)
    wanted = (1 - phase) * weight + phase * ternary_codes(weight, scale) / scale
    torch.testing.assert_close(made, wanted)
    (made * torch.arange(60.0).reshape(6, 10)).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(weight.grad, torch.arange(60.0).reshape(6, 10))


def test_rows_have_steps_of_their_own() -> None:
    x = _weight((3, 4, 50), 2) * torch.tensor([1e-3, 1.0, 1e3, 7.0])[None, :, None]
    scale = 128 / np.abs(x.numpy()).max(-1, keepdims=True)
    wanted = np.clip(np.round(x.numpy() * scale), -128, 127) / scale
    np.testing.assert_allclose(quantised_rows(x).numpy(), wanted, rtol=1e-5)
    assert not quantised_rows(torch.zeros(2, 5)).any()


def test_a_learned_range_holds_zero_exactly_and_stops_moving_in_evaluation() -> None:
    layer = LearnedRange().train()
    layer(torch.tensor([0.5, 3.0]))
    assert (layer.low.item(), layer.high.item()) == (0.0, 3.0)
    layer(torch.tensor([-1.0, 1.0]))
    assert layer.low.item() < 0 and layer.high.item() < 3
    layer.eval()
    low = layer.low.item()
    out = layer(torch.tensor([0.0, -50.0, 50.0]))
    step, zero = layer.step_and_zero()
    assert layer.low.item() == low and out[0] == 0
    torch.testing.assert_close(out[1:], torch.stack([-zero * step, (255 - zero) * step]))


def test_a_clipped_value_gives_no_gradient() -> None:
    layer = LearnedRange().train()
    layer(torch.tensor([-1.0, 1.0]))
    x = torch.tensor([0.3, 5.0], requires_grad=True)
    layer.eval()(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1.0, 0.0]
