"""The list of layers in a bundle: written, read again, doubted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepress.bundle import EngineFiles, open_bundle
from edgepress.bundle.layers import KernelLayer, layers_from_bytes, layers_of, layers_to_bytes
from edgepress.errors import BundleError

NAMES = st.text(max_size=20)
COUNTS = st.integers(0, 1 << 62)
LAYERS = st.builds(
    KernelLayer, NAMES, NAMES, NAMES, st.lists(NAMES, max_size=3).map(tuple), NAMES, NAMES, st.booleans(),
    COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.booleans(), st.none() | st.floats(0, 32), NAMES, st.none() | COUNTS,
)  # fmt: skip


@given(st.lists(LAYERS, max_size=4))
def test_what_is_written_is_read_again(layers: list[KernelLayer]) -> None:
    data = layers_to_bytes(layers)
    assert layers_from_bytes(data, "x") == tuple(layers)
    assert layers_to_bytes(layers_from_bytes(data, "x")) == data


def test_work_for_each_byte() -> None:
    layer = KernelLayer("a", "Conv", "tile", operations=600, weight_bytes=100, activation_bytes=200)
    assert (layer.bytes, layer.intensity) == (300, 2.0)
    assert KernelLayer("a", "Conv", "tile", operations=600).intensity == 0.0


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{", b'{"layers": 3}', b'{"layers": [{"name": "a"}]}', b'{"layers": [], "more": 1}',
        json.dumps({"layers": [{"name": "a", "op": "b", "kernel": "c", "macs": -1}]}).encode(),
        json.dumps({"layers": [{"name": "a", "op": "b", "kernel": "c", "macs": 1 << 70}]}).encode(),
        json.dumps({"layers": [{"name": "a", "op": "b", "kernel": "c", "macs": True}]}).encode(),
        b'{"layers": [{"name": "a", "op": "b", "kernel": "c", "weight_bits": NaN}]}',
        b" " * ((8 << 20) + 1),
    ],
)  # fmt: skip
def test_a_damaged_list_is_one_sentence(data: bytes) -> None:
    with pytest.raises(BundleError, match="list of layers in x is"):
        layers_from_bytes(data, "x")


@given(st.binary(max_size=200))
def test_any_bytes_are_layers_or_a_sentence(data: bytes) -> None:
    try:
        layers_from_bytes(data, "x")
    except BundleError as error:
        assert "build the bundle again" in str(error)


def test_a_later_form_tells_of_no_layers() -> None:
    assert layers_from_bytes(b'{"form": 2, "layers": "otherwise"}', "x") == ()


def test_bundles_of_older_builds_have_none(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle) as bundle:
        assert layers_of(bundle, EngineFiles()) == ()
