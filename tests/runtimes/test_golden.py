"""Golden outputs and what they may differ by."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgepress.bundle import Check, open_bundle
from edgepress.runtimes.golden import check_golden, difference, tolerance


def test_golden_outputs_hold_here(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle) as bundle:
        results = check_golden(bundle, "main")
    assert len(results) == 2
    assert all(result.passed for result in results)


@pytest.mark.parametrize(
    ("found", "expected", "apart"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5),
        ([np.nan], [np.nan], 0.0),
        ([np.inf], [np.inf], 0.0),
        ([np.inf], [-np.inf], np.inf),
        ([np.nan], [1.0], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
        ([], [], 0.0),
    ],
)
def test_difference(found: list[float], expected: list[float], apart: float) -> None:
    assert difference(np.array(found, np.float32), np.array(expected, np.float32)) == apart


def test_a_missing_output_differs_by_everything() -> None:
    assert difference(None, np.zeros(1)) == np.inf


def test_tolerance_is_the_widest_that_the_build_stated(tiny_bundle: Path) -> None:
    def check(step: str, limit: float, unit: str) -> Check:
        return Check(step, "x", 0.0, limit, unit, True)

    values = np.array([-3.0, 0.25, 0.5, 1.0], np.float32)
    with open_bundle(tiny_bundle) as bundle:
        plain = bundle.manifest
    stated = dataclasses.replace(
        plain, checks=(check("ort", 0.01, "absolute"), check("export", 9.0, "absolute"))
    )
    steps = dataclasses.replace(plain, checks=(check("aot", 2.0, "output steps"),))
    assert tolerance(plain, values) == pytest.approx(3e-4)
    assert tolerance(plain, values[1:2]) == pytest.approx(1e-4)
    assert tolerance(stated, values) == 0.01
    assert tolerance(steps, values) == pytest.approx(0.5)
