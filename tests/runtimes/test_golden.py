"""Golden outputs and what they may differ by."""

from __future__ import annotations

from pathlib import Path

from edgepress.bundle import open_bundle
from edgepress.runtimes.golden import check_golden


def test_golden_outputs_hold_here(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle) as bundle:
        results = check_golden(bundle, "main")
    assert len(results) == 2
    assert all(result.passed and result.limit == 1e-3 for result in results)


def test_an_output_with_no_stated_tolerance_must_be_the_same(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle) as bundle:
        bundle.manifest.parts["main"].tolerance.clear()
        assert all(result.limit == 0.0 for result in check_golden(bundle, "main"))
