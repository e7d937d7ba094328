"""A codec's description and its levels: what is written is read, and what is wrong is refused by name."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from edgepress.coding.description import (
    Codec,
    Rate,
    codec_of,
    levels_to_bytes,
    read_codec,
    read_levels,
    table_names,
)
from edgepress.errors import BundleError

CODEC = Codec(
    kind="walloc",
    content="picture",
    axes=2,
    channels=3,
    latents=5,
    factor=8,
    encoder_halo=(28, 21),
    decoder_halo=(11, 4),
    encoder_tile=(64, 32),
    decoder_tile=(32, 32),
    rates=(Rate(1.0, 127, 0.0, 0.6, 29.5), Rate(2.5, 51, 0.33)),
    identity="0123456789abcdef" * 2,
)


def _levels() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal((5, rate.values)).astype(np.float32) for rate in CODEC.rates]


def test_what_is_written_is_read() -> None:
    assert read_codec(CODEC.to_bytes(), "x") == CODEC
    assert CODEC.encoder_shape() == (1, 3, 64 + 49, 32 + 49)
    assert CODEC.decoder_shape() == (1, 6, 4 + 15, 4 + 15)
    assert len(CODEC.identity_bytes) == 16
    for given, read in zip(
        _levels(), read_levels(levels_to_bytes(_levels(), CODEC), CODEC, "x"), strict=True
    ):
        np.testing.assert_array_equal(given, read)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "jpeg"},
        {"axes": 4},
        {"latents": 0},
        {"encoder_tile": [64, 30]},
        {"encoder_tile": [64]},
        {"decoder_halo": [-1, 4]},
        {"rates": []},
        {"rates": [{"step": 0.0, "highest": 127, "plane": 0.0}]},
        {"rates": [{"step": 1.0, "highest": 1 << 20, "plane": 0.0}]},
        {"identity": "xyz"},
        {"decoder_macs": -1.0},
        {"more": 1},
    ],
)
def test_a_description_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    plain = json.loads(CODEC.to_bytes()) | changes
    with pytest.raises(BundleError, match=r"description in some\.edge is damaged"):
        read_codec(json.dumps(plain).encode(), "some.edge")


def test_no_json_and_too_much_of_it_are_refused() -> None:
    with pytest.raises(BundleError, match="no JSON"):
        read_codec(b"{", "x")
    with pytest.raises(BundleError, match="too large"):
        read_codec(bytes((1 << 20) + 1), "x")


def test_levels_of_another_length_or_of_no_number_are_refused() -> None:
    data = levels_to_bytes(_levels(), CODEC)
    with pytest.raises(BundleError, match=r"take \d+ bytes, not the"):
        read_levels(data[:-4], CODEC, "x")
    with pytest.raises(BundleError, match="no number"):
        read_levels(b"\xff" * len(data), CODEC, "x")
    with pytest.raises(ValueError, match="shape"):
        levels_to_bytes([table[:, 1:] for table in _levels()], CODEC)


def test_a_part_without_one_of_its_tables_is_refused() -> None:
    tables = {name: f"codec/{name}" for name in table_names(CODEC)}
    members = {"codec/codec": CODEC.to_bytes()}
    assert codec_of({}, members.__getitem__, "x") is None
    assert codec_of(tables, members.__getitem__, "x") == CODEC
    del tables["model.1"]
    with pytest.raises(BundleError, match=r"no table 'model\.1'"):
        codec_of(tables, members.__getitem__, "x")


def test_shapes_follow_the_axes() -> None:
    one = dataclasses.replace(CODEC, axes=1, encoder_tile=(80,), decoder_tile=(40,))
    assert one.encoder_shape() == (1, 3, 129)
