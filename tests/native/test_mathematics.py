"""The runtime's mathematics and memory functions against NumPy and Python, over their whole ranges."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.targets.compilers.zig import c_compiler, invoke
from edgepress.targets.load import load_target
from tests.native.tiny_model import RUNTIME

Array = np.ndarray[Any, Any]
FLOATS = st.floats(width=32, allow_nan=False)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The runtime's own sources behind functions on arrays, as they are built for a library."""
    out = tmp_path_factory.mktemp("probe") / "probe.so"
    sources = [RUNTIME / name for name in ("ep_math.c", "ep_math_round.c", "ep_mem.c")]
    sources.append(Path(__file__).parent / "probe.c")
    flags = ("-O3", "-std=c11", "-shared", "-fPIC", "-ffreestanding", "-fno-builtin", "-fno-math-errno")
    more = ("-ffp-contract=off", "-fvisibility=hidden", "-nostdlib", f"-I{RUNTIME}", *map(str, sources))
    invoke(
        (*c_compiler(load_target("host")).cc, *flags, *more, "-o", str(out)), "building the probe", out.parent
    )
    return ctypes.CDLL(str(out))


def _apply(probe: ctypes.CDLL, name: str, *arrays: Array) -> Array:
    out = np.empty_like(arrays[0])
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*arrays, out)]
    getattr(probe, f"probe_{name}")(*pointers, ctypes.c_int64(out.size))
    return out


def _spread(low: float, high: float) -> Array:
    """Even steps over the range, and every size of number in it."""
    sizes = np.geomspace(1e-37, max(abs(low), abs(high)), 20_000)
    values = np.concatenate([np.linspace(low, high, 200_001), sizes, -sizes, [0.0]])
    return values[(values >= low) & (values <= high)].astype(np.float32)


def _erf(x: Array) -> Array:
    return np.array([math.erf(v) for v in x])


@pytest.mark.parametrize(
    ("name", "exact", "low", "high"),
    [
        ("expf", np.exp, -87.0, 88.7),
        ("exp2f", np.exp2, -126.0, 127.9),
        ("expm1f", np.expm1, -20.0, 80.0),
        ("logf", np.log, 1e-37, 3e38),
        ("logf", np.log, 0.5, 2.0),
        ("log2f", np.log2, 1e-37, 3e38),
        ("log10f", np.log10, 1e-37, 3e38),
        ("log1pf", np.log1p, -0.999, 1000.0),
        ("tanhf", np.tanh, -20.0, 20.0),
        ("sinhf", np.sinh, -80.0, 80.0),
        ("coshf", np.cosh, -80.0, 80.0),
        ("erff", _erf, -6.0, 6.0),
        ("atanf", np.arctan, -1e6, 1e6),
        ("asinf", np.arcsin, -1.0, 1.0),
        ("acosf", np.arccos, -1.0, 0.999),
        ("sqrtf", np.sqrt, 0.0, 3e38),
    ],
)
def test_relative_error_is_below_2e_7(
    probe: ctypes.CDLL, name: str, exact: Callable[[Array], Array], low: float, high: float
) -> None:
    x = _spread(low, high)
    wanted = exact(x.astype(np.float64))
    error = np.abs(_apply(probe, name, x) - wanted) / np.maximum(np.abs(wanted), 1.2e-38)
    assert error.max() < 2e-7, f"{name} at {x[error.argmax()]!r}"


@pytest.mark.parametrize(("name", "exact"), [("sinf", np.sin), ("cosf", np.cos), ("tanf", np.tan)])
def test_angles_up_to_a_million(probe: ctypes.CDLL, name: str, exact: Callable[[Array], Array]) -> None:
    x = _spread(-1e6, 1e6)
    wanted = exact(x.astype(np.float64))
    error = np.abs(_apply(probe, name, x) - wanted) / np.maximum(np.abs(wanted), 1e-3)
    assert error.max() < 3e-7, f"{name} at {x[error.argmax()]!r}"


def test_powers_and_two_argument_angles(probe: ctypes.CDLL) -> None:
    random = np.random.default_rng(0)
    x = np.exp(random.uniform(-8, 8, 200_000)).astype(np.float32)
    y = random.uniform(-9, 9, x.size).astype(np.float32)
    wanted = np.power(x.astype(np.float64), y.astype(np.float64))
    assert (np.abs(_apply(probe, "powf", x, y) - wanted) / wanted).max() < 3e-7
    signed = random.normal(size=(2, 100_000)).astype(np.float32)
    np.testing.assert_allclose(
        _apply(probe, "atan2f", signed[0], signed[1]), np.arctan2(signed[0], signed[1]), rtol=3e-7
    )


def test_edges_are_those_of_the_c_standard(probe: ctypes.CDLL) -> None:
    inf, nan = np.inf, np.nan

    def at(name: str, *values: float) -> float:
        return float(_apply(probe, name, *(np.array([v], np.float32) for v in values))[0])

    for name, x, wanted in [
        ("expf", inf, inf), ("expf", -inf, 0.0), ("expf", 89.0, inf), ("expf", -150.0, 0.0),
        ("expf", 0.0, 1.0), ("expf", nan, nan), ("expf", -103.0, float(np.exp(-103.0))),
        ("exp2f", 200.0, inf), ("logf", 0.0, -inf), ("logf", -1.0, nan), ("logf", inf, inf),
        ("logf", nan, nan), ("log1pf", -1.0, -inf), ("tanhf", inf, 1.0), ("tanhf", -inf, -1.0),
        ("tanhf", nan, nan), ("erff", inf, 1.0), ("erff", -50.0, -1.0), ("erff", nan, nan),
        ("sqrtf", -1.0, nan), ("sqrtf", inf, inf), ("sinf", inf, nan), ("acosf", 2.0, nan),
        ("atanf", inf, np.pi / 2), ("floorf", inf, inf), ("roundf", nan, nan),
    ]:  # fmt: skip
        np.testing.assert_equal(np.float32(at(name, x)), np.float32(wanted), err_msg=f"{name}({x})")
    for x, y, wanted in [
        (2.0, 0.0, 1.0), (nan, 0.0, 1.0), (1.0, nan, 1.0), (-2.0, 3.0, -8.0), (-2.0, 2.0, 4.0),
        (-2.0, 0.5, nan), (0.0, 2.0, 0.0), (0.0, -1.0, inf), (-0.0, -1.0, -inf), (inf, -1.0, 0.0),
        (-inf, 3.0, -inf), (0.5, inf, 0.0), (2.0, inf, inf), (-1.0, inf, 1.0), (10.0, 50.0, inf),
        (10.0, -50.0, 0.0),
    ]:  # fmt: skip
        np.testing.assert_equal(np.float32(at("powf", x, y)), np.float32(wanted), err_msg=f"powf({x}, {y})")


@settings(max_examples=300, deadline=None)
@given(values=st.lists(FLOATS, min_size=1, max_size=40))
def test_rounding_is_exact_for_every_float(probe: ctypes.CDLL, values: list[float]) -> None:
    x = np.array(values, np.float32)
    for name, wanted in [
        ("floorf", np.floor(x)), ("ceilf", np.ceil(x)), ("truncf", np.trunc(x)), ("rintf", np.rint(x)),
        ("nearbyintf", np.rint(x)), ("roundevenf", np.rint(x)), ("fabsf", np.abs(x)),
        ("sqrtf", None), ("roundf", None),
    ]:  # fmt: skip
        given_ = _apply(probe, name, x)
        if name == "sqrtf":
            with np.errstate(invalid="ignore"):
                wanted = np.sqrt(x)
        if name == "roundf":
            wide = x.astype(np.float64)
            wanted = (np.sign(wide) * np.floor(np.abs(wide) + 0.5)).astype(np.float32)
        np.testing.assert_array_equal(given_, wanted, err_msg=name)


@settings(max_examples=300, deadline=None)
@given(pairs=st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=40))
def test_remainders_signs_and_extremes_are_exact(
    probe: ctypes.CDLL, pairs: list[tuple[float, float]]
) -> None:
    a, b = (np.array(side, np.float32) for side in zip(*pairs, strict=True))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(_apply(probe, "fmodf", a, b), np.fmod(a, b))
    np.testing.assert_array_equal(_apply(probe, "fminf", a, b), np.fmin(a, b))
    np.testing.assert_array_equal(_apply(probe, "fmaxf", a, b), np.fmax(a, b))
    np.testing.assert_array_equal(_apply(probe, "copysignf", a, b), np.copysign(a, b))


@settings(max_examples=300, deadline=None)
@given(
    to=st.integers(0, 90), source=st.integers(0, 90), count=st.integers(0, 90), value=st.integers(-300, 300)
)
def test_memory_functions_match_python(
    probe: ctypes.CDLL, to: int, source: int, count: int, value: int
) -> None:
    block = np.random.default_rng(to * 91 + source).integers(0, 256, 200, dtype=np.uint8)
    place = ctypes.c_void_p(block.ctypes.data)
    wanted = block.copy()
    wanted[to : to + count] = block[source : source + count].copy()
    probe.probe_memmove(place, *map(ctypes.c_int64, (to, source, count)))
    np.testing.assert_array_equal(block, wanted)
    probe.probe_memset(place, ctypes.c_int64(to), ctypes.c_int32(value), ctypes.c_int64(count))
    wanted[to : to + count] = value & 0xFF
    np.testing.assert_array_equal(block, wanted)
    other = np.zeros(200, np.uint8)
    probe.probe_memcpy(ctypes.c_void_p(other.ctypes.data), place, ctypes.c_int64(count))
    np.testing.assert_array_equal(other[:count], block[:count])
    left, right = bytes(block[to : to + count]), bytes(block[source : source + count])
    got = probe.probe_memcmp(
        ctypes.c_void_p(block.ctypes.data + to),
        ctypes.c_void_p(block.ctypes.data + source),
        ctypes.c_int64(count),
    )
    assert (got > 0) - (got < 0) == (left > right) - (left < right)
