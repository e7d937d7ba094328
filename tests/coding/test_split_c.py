"""Latents to a stream in C: the bytes of the definition, whatever the latents, and no table taken that makes none."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgepress.coding.coder import Coding, PortableCoder
from edgepress.coding.frozen import write_codings
from edgepress.coding.split import integers
from edgepress.coding.stream import Header
from edgepress.coding.table import fit_table
from edgepress.coding.whole import encode
from edgepress.targets.compilers.link import CODER, SENDER
from edgepress.targets.compilers.sender import sender_source
from edgepress.targets.compilers.zig import c_compiler, invoke
from edgepress.targets.load import load_target
from tests.coding import split_golden
from tests.coding.codecs import small_context, smooth
from tests.coding.split_native import BAD_ARGUMENT, NO_ROOM, Sender, SentSplit, sent_split
from tests.native.tiny_model import RUNTIME

Array = np.ndarray[Any, Any]
IDENTITY = bytes(range(16))
TABLES = tuple(fit_table(np.append(channel, [-1, 0, 1])) for channel in smooth((3, 20, 20), 4))
CODINGS: tuple[Coding, ...] = (TABLES, small_context(5))
MODELS = tuple(write_codings([coding]) for coding in CODINGS)
STEPS = np.array([[0.5, 0.3, 4.0], [1.0, 1e-3, 0.7]], np.float32)
SHAPES = st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 14))
ODD = [0.25, 0.75, -0.25, 1.25, 0.45, -0.0, 1e30, -1e30, float("nan"), float("inf"), -float("inf"), 1e-45]


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Sender:
    """A library that stops at an index out of bounds or a number out of range."""
    out = tmp_path_factory.mktemp("sender") / "sender.so"
    flags = ("-O2", "-std=c11", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined")
    files = [str(RUNTIME / name) for name in (*CODER, *SENDER)]
    stop = ("-fsanitize-trap=undefined", f"-I{RUNTIME}")
    compiler = c_compiler(load_target("host")).cc
    invoke((*compiler, *flags, *stop, *files, "-o", str(out)), "building", out.parent)
    return Sender(out)


def split_of(
    extents: tuple[int, int, int], step: int, shape: tuple[int, ...] = (3, 9), highest: int = 99
) -> SentSplit:
    return sent_split(IDENTITY, extents, step, shape, highest, STEPS, MODELS)


def header(latents: Array, rate: int, step: int, shape: tuple[int, ...]) -> Header:
    channels, rows, columns = latents.shape
    return Header(IDENTITY, "array", rate, channels, rows, columns, shape, 0, step)


def wanted(latents: Array, rate: int, step: int, shape: tuple[int, ...] = (3, 9), highest: int = 99) -> bytes:
    sent = integers(latents, STEPS[rate], highest)
    return encode(header(latents, rate, step, shape), sent, lambda: PortableCoder(CODINGS[rate]))


@settings(max_examples=60, deadline=None)
@given(
    latents=SHAPES.flatmap(
        lambda shape: arrays(np.float32, shape, elements=st.sampled_from(ODD) | st.floats(-40, 40, width=32))
    ),
    rate=st.integers(0, 1), step=st.integers(1, 16), highest=st.integers(1, 16383),
    shape=st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=4),
)  # fmt: skip
def test_the_same_bytes_as_the_definition(
    sender: Sender, latents: Array, rate: int, step: int, highest: int, shape: list[int]
) -> None:
    split = split_of(latents.shape, step, tuple(shape), highest)
    assert sender.encode(split, rate, latents) == wanted(latents, rate, step, tuple(shape), highest)


@settings(max_examples=40, deadline=None)
@given(
    bits=arrays(np.uint32, (3, 2, 50), elements=st.integers(0, 2**32 - 1)),
    steps=arrays(np.uint32, (1, 3), elements=st.integers(1, 0x7F7FFFFF)),
)
def test_any_floats_and_any_steps_round_as_numpy_does(sender: Sender, bits: Array, steps: Array) -> None:
    """Every pattern of bits is a latent, and every positive number a step; half of the quotients end in a half."""
    latents, by = bits.view(np.float32), steps.view(np.float32)
    with np.errstate(all="ignore"):
        latents[:, 1] = (bits[:, 1] % 64 - 32 + np.float32(0.5)) * by.T
    split = sent_split(IDENTITY, latents.shape, 2, (1,), 200, by, MODELS[:1])
    sent = integers(latents, by[0], 200)
    expected = encode(header(latents, 0, 2, (1,)), sent, lambda: PortableCoder(CODINGS[0]))
    assert sender.encode(split, 0, latents) == expected


def test_room_that_is_too_short_is_said(sender: Sender) -> None:
    latents = smooth((3, 8, 9), 0).astype(np.float32)
    split, whole = split_of(latents.shape, 3), wanted(latents, 1, 3)
    lengths = {}
    for room in range(0, 500):
        given = sender.encode(split, 1, latents, room)
        assert given in (whole, NO_ROOM)
        lengths[room] = given == whole
    enough = min(room for room, fits in lengths.items() if fits)
    assert all(lengths[room] for room in range(enough, 500)) and enough > len(whole)
    assert enough <= len(whole) + 30 + 2 * 3 * 3 * 9  # what the header of ep_split.h promises


def test_a_wrong_argument_is_refused(sender: Sender) -> None:
    latents = np.zeros((3, 8, 9), np.float32)
    made, _memory = sender.opened(split_of(latents.shape, 3), 0)
    code, out = sender.code, np.zeros(2000, np.uint8)
    scratch = np.zeros(-(-code.ep_split_scratch(made) // 8), np.uint64)
    right = [
        made,
        latents.ctypes.data,
        latents.nbytes,
        scratch.ctypes.data,
        scratch.nbytes,
        out.ctypes.data,
        2000,
    ]
    assert code.ep_split_encode(*right) > 0
    for place, wrong in (
        (0, None), (1, None), (1, right[1] + 1), (2, latents.nbytes - 4), (2, latents.nbytes + 4), (3, None),
        (3, right[3] + 4), (4, code.ep_split_scratch(made) - 1), (5, None),
    ):  # fmt: skip
        arguments = [*right[:place], wrong, *right[place + 1 :]]
        assert code.ep_split_encode(*arguments) == BAD_ARGUMENT, place


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("abi", 2), ("highest", 0), ("highest", 16384), ("rate_count", 0), ("rate_count", 17), ("rate_count", 3),
        ("stream.kind", 3), ("stream.channels", 0), ("stream.channels", 2), ("stream.channels", 4097),
        ("stream.rows", 0), ("stream.rows", 2**32 - 1), ("stream.columns", 0), ("stream.columns", 2**32 - 1),
        ("stream.step", 0), ("stream.rank", 0), ("stream.rank", 5), ("stream.rank", 3), ("steps.data", None),
        ("steps.bytes", 23), ("steps.bytes", 25), ("models", None), ("models.0.data", None), ("models.0.bytes", 9),
        ("models.0.bytes", 2**63), ("models.0.data", MODELS[1]),
    ],
)  # fmt: skip
def test_tables_that_make_no_streams_are_refused(sender: Sender, path: str, value: Any) -> None:
    split = split_of((3, 8, 9), 3)
    assert sender.opened(split, 0)[0]
    owner, _, name = path.rpartition(".")
    setattr(
        {"": split, "stream": split.stream, "steps": split.steps, "models.0": split.models[0]}[owner],
        name,
        value,
    )
    assert not sender.opened(split, 0)[0]


@pytest.mark.parametrize("bad", [0.0, -0.0, -1.0, float("nan"), float("inf")])
def test_a_step_that_is_none_is_refused_at_its_rate(sender: Sender, bad: float) -> None:
    steps = STEPS.copy()
    steps[1, 2] = bad
    split = sent_split(IDENTITY, (3, 8, 9), 3, (3, 9), 99, steps, MODELS)
    assert sender.opened(split, 0)[0] and not sender.opened(split, 1)[0]


def test_a_model_of_other_channels_or_changed_is_refused(sender: Sender) -> None:
    other = write_codings([TABLES[:2]])
    changed = bytearray(MODELS[0])
    changed[20] ^= 1
    signed = bytes(changed[:-4]) + zlib.crc32(changed[:-4]).to_bytes(4, "little")
    for model in (other, bytes(changed), signed):
        split = sent_split(IDENTITY, (3, 8, 9), 3, (3, 9), 99, STEPS[:1], [model])
        assert not sender.opened(split, 0)[0]


def test_a_source_is_made_of_its_own_tables_alone() -> None:
    steps, models = split_golden.steps(), split_golden.models()
    named = dataclasses.replace(split_golden.SPLIT, teacher='*/ int x; "\n')
    text = sender_source(named, steps, models)
    assert text == sender_source(named, steps, models) and text.count("*/") == 1
    for wrong in ((steps[:-4], models), (steps, models[:1])):
        with pytest.raises(ValueError, match="2 rates"):
            sender_source(split_golden.SPLIT, *wrong)
