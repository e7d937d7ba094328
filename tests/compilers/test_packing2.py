"""Ternary weights at two bits and five in a byte: the layout's definition, element by element."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepress.graph.ternary_storage import is_ternary
from edgepress.targets.compilers.tvm.packing2 import (
    folded,
    four_of_five,
    pack2,
    pack5,
    pack_words,
    unpack2,
    unpack5,
)


def _weight(outputs: int, inputs: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, (outputs, inputs)).astype(np.int8)


@pytest.mark.parametrize("lanes", [4, 8, 16, 32])
@pytest.mark.parametrize("signed", [False, True])
def test_two_bits_of_every_weight(lanes: int, signed: bool) -> None:
    weight = _weight(37, 35, 0)
    packed = pack2(weight, lanes, signed)
    assert packed.shape == (-(-37 // lanes), 3, lanes, 4)
    assert packed.dtype == np.uint8
    for n in range(packed.shape[0] * lanes):
        for k in range(48):
            value = int(weight[n, k]) if n < 37 and k < 35 else 0
            field = int(packed[n // lanes, k // 16, n % lanes, k % 4]) >> 2 * (k % 16 // 4) & 3
            assert field == (value & 3 if signed else value + 1)


def test_two_bits_of_every_weight_where_an_output_has_a_register_of_each_run() -> None:
    weight = _weight(7, 130, 0)
    packed = pack2(weight, 4, each=16)
    assert packed.shape == (2, 3, 4, 16)
    for n in range(8):
        for k in range(192):
            value = int(weight[n, k]) if n < 7 and k < 130 else 0
            assert int(packed[n // 4, k // 64, n % 4, k % 16]) >> 2 * (k % 64 // 16) & 3 == value + 1
    np.testing.assert_array_equal(unpack2(packed, 7, 130), weight)


@pytest.mark.parametrize("bits", [32, 64])
def test_words_hold_outputs_in_fields_of_sixteen_bits(bits: int) -> None:
    weight, fields = _weight(37, 5, 0), bits // 16
    packed = pack_words(weight, bits)
    assert packed.shape == (-(-37 // (8 * fields)), 5) and packed.dtype == f"uint{bits}"
    for n in range(packed.shape[0] * 8 * fields):
        for k in range(5):
            panel, place = divmod(n, 8 * fields)
            shift = 16 * (place % fields) + 2 * (place // fields)
            assert int(packed[panel, k]) >> shift & 3 == (int(weight[n, k]) if n < 37 else 0) + 1


@pytest.mark.parametrize("lanes", [8, 16])
def test_five_weights_a_byte(lanes: int) -> None:
    weight = _weight(21, 43, 1)
    packed = pack5(weight, lanes)
    assert packed.shape == (-(-21 // lanes), 3, lanes, 4)
    for n in range(packed.shape[0] * lanes):
        for k in range(60):
            value = int(weight[n, k]) if n < 21 and k < 43 else 0
            byte = int(packed[n // lanes, k // 20, n % lanes, k % 4])
            assert byte // 3 ** (k % 20 // 4) % 3 == value + 1
    assert packed.max() <= 242


def test_a_table_gives_four_of_five_and_two_thresholds_the_fifth() -> None:
    table = four_of_five()
    for byte in range(243):
        digits = [byte // 3**s % 3 for s in range(5)]
        assert [table[byte] >> 2 * s & 3 for s in range(4)] == digits[:4]
        assert (byte >= 81) + (byte >= 162) == digits[4]


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([4, 8, 16, 32]), st.integers(0, 9))
def test_what_was_packed_comes_back(outputs: int, inputs: int, lanes: int, seed: int) -> None:
    weight = _weight(outputs, inputs, seed)
    for signed in (False, True):
        np.testing.assert_array_equal(unpack2(pack2(weight, lanes, signed), outputs, inputs, signed), weight)
    np.testing.assert_array_equal(unpack5(pack5(weight, lanes), outputs, inputs), weight)


def test_ternary_is_minus_one_zero_and_one() -> None:
    assert is_ternary(_weight(3, 5, 0))
    assert not is_ternary(np.array([[0, 2]], np.int8))


@given(st.integers(1, 9), st.sampled_from([(16, 4), (16, 2), (4, 1)]), st.integers(0, 2**32 - 1))
def test_panels_are_folded_four_steps_to_one(steps: int, panel: tuple[int, int], seed: int) -> None:
    weight = np.random.default_rng(seed).integers(-1, 2, (2, steps, *panel)).astype(np.int8)
    packed = folded(weight)
    assert packed.shape == (2, -(-steps // 4), *panel)
    fields = packed[:, :, None] >> (2 * np.arange(4, dtype=np.uint8))[:, None, None] & 3
    full = ((fields ^ 2).astype(np.int8) - 2).reshape(2, -1, *panel)
    np.testing.assert_array_equal(full[:, :steps], weight)
    assert not full[:, steps:].any()


def test_folded_panels_of_a_register_are_the_layout_of_pack2() -> None:
    weight = _weight(16, 48, 2)
    panels = weight.reshape(1, 16, 12, 4).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(folded(np.ascontiguousarray(panels)), pack2(weight, 16, signed=True))
