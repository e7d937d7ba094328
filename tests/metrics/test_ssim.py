"""SSIM and MS-SSIM against their definitions, and against scikit-image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepress.metrics.ssim import MS_LEAST, MS_WEIGHTS, luma, ms_ssim, ssim

Array = np.ndarray[Any, Any]

# structural_similarity(luma, luma, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255) of
# scikit-image 0.26.0, for pattern(rows, columns, step) and what worn() makes of it.
GOLDEN = [
    (11, 11, 1, 0.9994205679110844),
    (37, 150, 29, 0.9931208774082849),
    (131, 64, 97, 0.955971987059333),
]


def pattern(rows: int, columns: int, step: int) -> Array:
    """A picture of curved stripes, made of whole numbers alone."""
    r, c, k = np.meshgrid(np.arange(rows), np.arange(columns), np.arange(3), indexing="ij")
    return np.asarray((r * r * 3 + c * c * 5 + r * c * 7 + k * 11) // step % 256, np.uint8)


def worn(picture: Array) -> Array:
    """The picture in sixteen levels."""
    return (picture // 16 * 16 + 8).astype(np.uint8)


def by_definition(a: Array, b: Array) -> tuple[float, float]:
    """SSIM, and its contrast and structure, window for window."""
    weights = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    x, y = (np.lib.stride_tricks.sliding_window_view(plane, (11, 11)) for plane in (a, b))
    means = [np.einsum("rcij,ij->rc", part, window) for part in (x, y)]
    apart = [part - mean[:, :, None, None] for part, mean in zip((x, y), means, strict=True)]
    variances = [np.einsum("rcij,ij->rc", part**2, window) for part in apart]
    covariance = np.einsum("rcij,ij->rc", apart[0] * apart[1], window)
    c1, c2 = 2.55**2, 7.65**2
    light = (2 * means[0] * means[1] + c1) / (means[0] ** 2 + means[1] ** 2 + c1)
    contrast = (2 * covariance + c2) / (variances[0] + variances[1] + c2)
    return float(np.mean(light * contrast)), float(np.mean(contrast))


@pytest.mark.parametrize(("rows", "columns", "step", "expected"), GOLDEN)
def test_as_scikit_image(rows: int, columns: int, step: int, expected: float) -> None:
    picture = pattern(rows, columns, step)
    assert ssim(picture, worn(picture)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(11, 11), (12, 40), (74, 13), (75, 11), (139, 21)])
def test_every_window_counts_once(rows: int, columns: int) -> None:
    """On odd shapes, above and below the height of the strips that it is computed in."""
    generator = np.random.default_rng(rows)
    a, b = generator.uniform(0, 255, (2, rows, columns))
    assert ssim(a, b) == pytest.approx(by_definition(a, b)[0], abs=1e-12)


def test_the_luma_is_bt601_and_not_rounded() -> None:
    assert luma(np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)) == pytest.approx(
        np.array([[76.245, 149.685], [29.07, 9.0]])
    )


def test_grey_pictures_are_luma() -> None:
    grey = pattern(20, 30, 7)[:, :, 0]
    for form in (grey[:, :, None], np.repeat(grey[:, :, None], 3, axis=2)):
        assert ssim(form, worn(form)) == pytest.approx(ssim(grey, worn(grey)), abs=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(176, 176), (177, 191), (203, 180)])
def test_five_scales(rows: int, columns: int) -> None:
    """Odd sizes lose their last row or column where they are halved."""
    picture = pattern(rows, columns, 977)
    a, b = picture.astype(np.float64) @ (0.299, 0.587, 0.114), worn(picture) @ np.array((0.299, 0.587, 0.114))
    expected = 1.0
    for scale, weight in enumerate(MS_WEIGHTS):
        whole, contrast = by_definition(a, b)
        expected *= (whole if scale == 4 else contrast) ** weight
        a, b = (
            np.array(
                [
                    [plane[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean() for c in range(plane.shape[1] // 2)]
                    for r in range(plane.shape[0] // 2)
                ]
            )
            for plane in (a, b)
        )
    assert ms_ssim(picture, worn(picture)) == pytest.approx(expected, abs=1e-12)


def test_the_weights_of_the_scales_are_those_published() -> None:
    assert sum(MS_WEIGHTS) == pytest.approx(1, abs=2e-4)
    assert MS_LEAST == 176


@given(st.integers(0, 2**32 - 1), st.integers(11, 30), st.integers(11, 30))
def test_it_is_one_for_equal_pictures_and_the_same_both_ways(seed: int, rows: int, columns: int) -> None:
    a, b = np.random.default_rng(seed).integers(0, 256, (2, rows, columns), np.uint8)
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert -1 <= ssim(a, b) < 1


def test_the_opposite_picture_has_no_similarity_left() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (MS_LEAST, MS_LEAST), np.uint8)
    assert ssim(picture, 255 - picture) < 0
    assert ms_ssim(picture, 255 - picture) == 0
    assert ms_ssim(picture, picture) == pytest.approx(1)


def test_what_cannot_be_compared_is_refused() -> None:
    picture = pattern(40, 40, 1)
    with pytest.raises(ValueError, match="cannot be compared"):
        ssim(picture, picture[1:])
    with pytest.raises(ValueError, match="at least 11 rows and columns, not 10 x 40"):
        ssim(picture[:10], picture[:10])
    with pytest.raises(ValueError, match="at least 176 rows and columns, not 40 x 40"):
        ms_ssim(picture, picture)
    with pytest.raises(ValueError, match="is no picture"):
        luma(np.zeros((3, 4, 2), np.uint8))
