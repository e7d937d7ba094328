"""Structural similarity of pictures: SSIM and MS-SSIM, on luma.

Source: Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image quality assessment: from error visibility to structural
similarity", IEEE TIP 13 (2004); Z. Wang, E. Simoncelli, A. Bovik, "Multiscale structural similarity for image
quality assessment", Asilomar (2003).

What the papers leave open is decided so: luma is BT.601's, in full range and not rounded; the numbers go from 0 to
255; windows lie wholly inside the picture; variances are those of the window, not of a sample; a picture is
halved by means of 2×2, an odd last row or column left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ABOUT = "BT.601 luma, data range 255, Gaussian window 11×11, sigma 1.5, windows wholly inside the picture"
"""How SSIM is computed, in words that go beside the figure."""

WINDOW = 11
"""The least rows and columns that SSIM takes."""

MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The powers of the five scales, the finest first."""

MS_LEAST = WINDOW << (len(MS_WEIGHTS) - 1)
"""The least rows and columns that MS-SSIM takes: its coarsest scale still holds a window."""

Array = np.ndarray[Any, Any]

_SIGMA = 1.5
_GAUSSIAN = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * _SIGMA**2))
_WEIGHTS = _GAUSSIAN / _GAUSSIAN.sum()
_LUMA = np.array((0.299, 0.587, 0.114))
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_STRIP = 64  # rows of windows at a time: what a strip needs stays near the processor


def luma(picture: Array) -> Array:
    """The BT.601 luma of a picture, in float64 and not rounded.

    Args:
        picture: ``[rows, columns, 3]`` in RGB, or ``[rows, columns]`` and ``[rows, columns, 1]``, which is luma
            already; from 0 to 255.

    Returns:
        float64 ``[rows, columns]``.

    Raises:
        ValueError: the array has another shape.
    """
    if picture.ndim == 2:
        return picture.astype(np.float64)
    if picture.ndim != 3 or picture.shape[2] not in (1, 3):
        raise ValueError(f"an array of {picture.shape} is no picture of rows x columns x 1 or 3")
    return np.asarray(picture[:, :, 0].astype(np.float64) if picture.shape[2] == 1 else picture @ _LUMA)


def ssim(reference: Array, given: Array) -> float:
    """The mean structural similarity of two pictures.

    Args:
        reference, given: as :func:`luma` takes them, of one shape.

    Returns:
        From −1 to 1; 1 for equal pictures.

    Raises:
        ValueError: the shapes differ, or a side is shorter than :data:`WINDOW`.
    """
    a, b = _pair(reference, given, WINDOW, "SSIM")
    return float(_similarity(a, b)[0])


def ms_ssim(reference: Array, given: Array) -> float:
    """The multi-scale structural similarity of two pictures: five scales, weighted by :data:`MS_WEIGHTS`.

    A scale whose mean is negative counts as 0: there is no real power of it. Small pictures are refused rather
    than measured on fewer scales, whose figure would be another.

    Args:
        reference, given: as :func:`luma` takes them, of one shape.

    Returns:
        From 0 to 1; 1 for equal pictures.

    Raises:
        ValueError: the shapes differ, or a side is shorter than :data:`MS_LEAST`.
    """
    a, b = _pair(reference, given, MS_LEAST, "MS-SSIM")
    product = 1.0
    for scale, weight in enumerate(MS_WEIGHTS):
        whole, contrast = _similarity(a, b)
        last = scale == len(MS_WEIGHTS) - 1
        product *= max(0.0, whole if last else contrast) ** weight
        if not last:
            a, b = _halved(a), _halved(b)
    return product


def _pair(reference: Array, given: Array, least: int, name: str) -> tuple[Array, Array]:
    if reference.shape != given.shape:
        raise ValueError(f"pictures of {reference.shape} and {given.shape} cannot be compared")
    a, b = luma(reference), luma(given)
    if min(a.shape) < least:
        raise ValueError(f"{name} needs at least {least} rows and columns, not {a.shape[0]} x {a.shape[1]}")
    return a, b


def _similarity(a: Array, b: Array) -> tuple[float, float]:
    """The mean over all windows of the whole similarity, and of its contrast and structure alone."""
    windows = (a.shape[0] - WINDOW + 1) * (a.shape[1] - WINDOW + 1)
    whole = contrast = 0.0
    for start in range(0, a.shape[0] - WINDOW + 1, _STRIP):
        rows = slice(start, start + _STRIP + WINDOW - 1)
        of_strip = _sums(a[rows], b[rows])
        whole, contrast = whole + of_strip[0], contrast + of_strip[1]
    return whole / windows, contrast / windows


def _sums(a: Array, b: Array) -> tuple[float, float]:
    mean_a, mean_b = _blurred(a), _blurred(b)
    both, squares = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    covariance = _blurred(a * b) - both
    variances = _blurred(a * a + b * b) - squares  # of both together, which is all that is needed
    contrast = (2 * covariance + _C2) / (variances + _C2)
    return float(np.sum((2 * both + _C1) / (squares + _C1) * contrast)), float(np.sum(contrast))


def _blurred(plane: Array) -> Array:
    """The Gaussian mean of every window inside a plane: ten rows and ten columns fewer."""
    return _along(_along(plane, 0), 1)


def _along(plane: Array, axis: int) -> Array:
    """The weighted sums of eleven neighbours along an axis; the weights are the same from both ends."""
    count = plane.shape[axis] - WINDOW + 1
    parts = [
        plane[index : index + count] if axis == 0 else plane[:, index : index + count]
        for index in range(WINDOW)
    ]
    total = parts[WINDOW // 2] * _WEIGHTS[WINDOW // 2]
    for index in range(WINDOW // 2):
        pair = parts[index] + parts[WINDOW - 1 - index]
        pair *= _WEIGHTS[index]
        total += pair
    return np.asarray(total)


def _halved(plane: Array) -> Array:
    rows, columns = plane.shape[0] // 2, plane.shape[1] // 2
    return np.asarray(plane[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3)))
