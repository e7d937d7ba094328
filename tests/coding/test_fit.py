"""Models fitted to latents: they find what neighbours tell, and where they tell nothing, tables stay plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepress.coding.coder import PortableCoder, cost
from edgepress.coding.context import MOST, Context
from edgepress.coding.fit import fit
from edgepress.coding.frozen import write_codings
from edgepress.coding.table import fit_table

Array = np.ndarray[Any, Any]


def correlated(seed: int, rows: int = 24, columns: int = 30) -> Array:
    """Channel 2 is smooth, channel 0 follows it, channel 1 is noise whose size channel 2's edges tell."""
    random = np.random.default_rng(seed)
    smooth = np.cumsum(np.cumsum(random.normal(0, 1.5, (rows, columns)), 0), 1) / 3
    follows = 0.5 * smooth + random.normal(0, 0.7, smooth.shape)
    noise = random.normal(0, 1, smooth.shape) * (0.3 + 3 * (np.abs(smooth) > 12))
    return np.stack([follows, noise, smooth]).round().astype(np.int16)


LATENTS = [correlated(seed) for seed in range(12)]
OTHERS = [correlated(seed) for seed in range(100, 104)]


def test_neighbours_and_other_channels_save_bits_on_other_latents() -> None:
    fitted = fit(LATENTS)
    assert isinstance(fitted.coding, Context) and fitted.coding.order[0] == 2
    assert fitted.bits < 0.75 * fitted.plain and fitted.entropy <= fitted.plain <= 1.01 * fitted.entropy
    plain = tuple(fit_table(np.concatenate([each[k].ravel() for each in LATENTS])) for k in range(3))
    spent = [sum(cost(coding, each) for each in OTHERS) for coding in (plain, fitted.coding)]
    assert spent[1] < 0.8 * spent[0]
    assert "chosen by neighbours" in fitted.says()


def test_a_fitted_model_codes_what_it_says() -> None:
    coding, values = fit(LATENTS[:4]).coding, OTHERS[0]
    body = PortableCoder(coding).encode(values)
    assert (PortableCoder(coding).decode(body, *values.shape[1:]) == values).all()
    assert cost(coding, values) <= 8 * len(body) <= 1.005 * cost(coding, values) + 160


def test_independent_values_get_a_table_each() -> None:
    """Few values: what a context would learn of them is chance, and its tables would only be shared."""
    random = np.random.default_rng(0)
    values = np.stack([random.laplace(0, size, (40, 50)) for size in (0.4, 7.0)]).round().astype(np.int16)
    fitted = fit([values])
    assert fitted.bits <= fitted.plain
    assert fitted.bits > 0.97 * fitted.entropy


def test_the_same_latents_give_the_same_bytes() -> None:
    assert write_codings([fit(LATENTS[:3]).coding]) == write_codings([fit(LATENTS[:3]).coding])


@pytest.mark.parametrize("rows", [1, 2])
def test_recordings_are_predicted_too(rows: int) -> None:
    latents = [correlated(seed, rows, 400) for seed in range(6)]
    fitted = fit(latents)
    assert isinstance(fitted.coding, Context) and fitted.bits < 0.9 * fitted.plain
    if rows == 1:
        assert not any(tap.row for sums in fitted.coding.first for tap in (*sums.values, *sums.errors))


@pytest.mark.parametrize("value", [0, 3, -MOST])
def test_latents_that_are_the_same_everywhere_cost_next_to_nothing(value: int) -> None:
    fitted = fit([np.full((2, 8, 9), value, np.int16)] * 3)
    assert fitted.bits < 0.1 * fitted.values


@pytest.mark.parametrize(
    ("latents", "says"),
    [
        ([], "same channels"),
        ([LATENTS[0], LATENTS[1][:2]], "same channels"),
        ([LATENTS[0][0]], "same channels"),
        ([np.full((1, 2, 2), MOST + 1)], "beyond"),
        ([np.zeros((1, 0, 2))], "empty"),
    ],
)
def test_what_no_model_can_be_made_from_is_refused(latents: list[Array], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fit(latents)
