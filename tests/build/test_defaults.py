"""Options that the board decides."""

from __future__ import annotations

import pytest

from edgepress.build.press import target_defaults
from edgepress.targets import load_target


@pytest.mark.parametrize(
    ("target", "options"),
    [("rpi4", {}), ("rpi5", {}), ("x86-64-v3", {"weight_bits": 7}), ("x86-64-v4", {"weight_bits": 7})],
)
def test_weights_keep_to_seven_bits_where_products_saturate(target: str, options: dict[str, int]) -> None:
    assert target_defaults("int8", load_target(target)) == options
    assert target_defaults("none", load_target(target)) == {}
