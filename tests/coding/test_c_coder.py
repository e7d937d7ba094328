"""The C coder makes the bytes of the definition, and reads nothing outside of what it is given."""

from __future__ import annotations

import ctypes
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.coding import context, plain
from edgepress.coding.frozen import read_codings, write_codings
from edgepress.coding.table import fit_table
from edgepress.errors import BundleError, DataError
from edgepress.runtimes.native_coder import NativeCoder
from edgepress.targets.compilers.zig import c_compiler, invoke
from edgepress.targets.load import load_target
from tests.coding.codecs import small_context, smooth
from tests.native.tiny_model import RUNTIME

SHAPES = st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 14))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The coder as a library that stops at an index out of bounds or a number out of range."""
    out = tmp_path_factory.mktemp("coder") / "coder.so"
    flags = ("-O2", "-std=c11", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined")
    files = [
        str(RUNTIME / name) for name in ("ep_code.c", "ep_coding.c", "ep_context.c", "ep_context_sound.c")
    ]
    stop = ("-fsanitize-trap=undefined", f"-I{RUNTIME}")
    invoke(
        (*c_compiler(load_target("host")).cc, *flags, *stop, *files, "-o", str(out)), "building", out.parent
    )
    return out


@settings(max_examples=40, deadline=None)
@given(
    shape=SHAPES, spread=st.sampled_from([0.2, 3.0, 5000.0]), bits=st.integers(8, 15), seed=st.integers(0, 99)
)
def test_the_same_bytes_by_tables(
    library: Path, shape: tuple[int, int, int], spread: float, bits: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    values = np.clip(random.laplace(0, spread, shape).round(), -(2**15), 2**15 - 1).astype(np.int16)
    tables = tuple(fit_table(np.append(channel[0], 1), bits) for channel in values)
    coder = NativeCoder(library, tables)
    body = coder.encode(values)
    assert body == plain.encode(tables, values)
    assert (coder.decode(body, *shape[1:]) == values).all()


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 9), columns=st.integers(1, 14), bits=st.integers(8, 15), seed=st.integers(0, 99))
def test_the_same_bytes_by_neighbours(library: Path, rows: int, columns: int, bits: int, seed: int) -> None:
    known, values = small_context(seed, bits), smooth((3, rows, columns), seed + 1)
    values[0, 0, 0], values[2, -1, -1] = context.MOST, -context.MOST
    coder = NativeCoder(library, known)
    body = coder.encode(values)
    assert body == context.encode(known, values)
    assert (coder.decode(body, rows, columns) == values).all()


@pytest.mark.parametrize("model", ["tables", "neighbours"])
def test_damage_is_reported_or_gives_values(library: Path, model: str) -> None:
    """Many mutations of bodies: the library would stop the process at the first read outside."""
    values, random = smooth((3, 12, 20), 1), np.random.default_rng(0)
    coder = NativeCoder(
        library, small_context(2) if model == "neighbours" else tuple(fit_table(x) for x in values)
    )
    whole = coder.encode(values)
    reported = 0
    for _ in range(4000):
        body = bytearray(whole)
        for place in random.integers(0, len(body), random.integers(1, 4)):
            body[place] = random.integers(0, 256)
        if random.random() < 0.3:
            body = body[: random.integers(0, len(body))]
        try:
            assert coder.decode(bytes(body), 12, 20).shape == values.shape
        except DataError:
            reported += 1
    assert reported > 2000


def test_c_takes_the_models_that_python_takes(library: Path) -> None:
    """Bytes changed and given a checksum that fits: both readers refuse the same ones."""
    code, random, taken = ctypes.CDLL(str(library)), np.random.default_rng(1), 0
    code.ep_coding_bytes.argtypes = (ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint32)
    code.ep_coding_bytes.restype = ctypes.c_uint64
    code.ep_coding_open.argtypes = (*code.ep_coding_bytes.argtypes, ctypes.c_void_p, ctypes.c_uint64)
    code.ep_coding_open.restype = ctypes.c_void_p
    whole = write_codings([small_context(0)])[:-4]
    for _ in range(1500):
        data = bytearray(whole)
        for place in random.integers(0, len(data) if random.random() < 0.5 else 120, random.integers(1, 3)):
            data[place] = int(data[place] + random.integers(1, 4)) % 256
        if random.random() < 0.1:
            data = data[: random.integers(6, len(data))]
        signed = bytes(data) + zlib.crc32(data).to_bytes(4, "little")
        memory = np.zeros(-(-code.ep_coding_bytes(signed, len(signed), 0) // 8), np.uint64)
        opened = code.ep_coding_open(signed, len(signed), 0, memory.ctypes.data, memory.nbytes)
        try:
            read_codings(signed)
        except BundleError:
            assert not opened
        else:
            assert opened
            taken += 1
    assert 100 < taken < 1400


def test_what_is_too_large_to_be_predicted_is_refused(library: Path) -> None:
    values = np.full((3, 1, 1), context.MOST + 1, np.int16)
    with pytest.raises(ValueError, match="too large"):
        NativeCoder(library, small_context(0)).encode(values)


def test_a_file_that_is_no_coder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.so").write_bytes(b"nothing")
    with pytest.raises(BundleError, match="no coder"):
        NativeCoder(tmp_path / "none.so", (fit_table(np.zeros(1)),))
