"""The figure of int8: agreement with float EfficientNet-Lite0 on photographs unseen in calibration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.benchmarks.agreement import measure


@pytest.mark.data
@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_int8_agrees_with_float_on_photographs(activations: str) -> None:
    folder = Path(os.environ.get("EDGEPRESS_DATA", "")) / "imagenet-sample"
    assert folder.is_dir(), "EDGEPRESS_DATA must name the folder that holds imagenet-sample"
    figures = measure(folder, {}, activations, 64)
    assert figures["agreement"] >= 0.975, figures
    assert figures["press_processor_seconds"] < 60, figures
