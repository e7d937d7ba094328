"""The WebAssembly module under wasmtime: results, fuel, refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgepress.errors import BundleError, CheckError, MissingExtraError
from edgepress.hardware.emulator.wasm import run_module
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph
from edgepress.targets.load import load_target
from tests.compilers.running import random_inputs, reference
from tests.native.small_graph import small_graph
from tests.native.tiny_model import build, example, expected, weights

_MEMORY = '(memory (export "memory") 1) (global (export "__heap_base") i32 (i32.const 64))'


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    shared = build("wasm32", tmp_path_factory.mktemp("wasm")).shared
    assert shared is not None
    return shared.read_bytes()


def _assembled(text: str) -> bytes:
    """A module from WebAssembly's text form."""
    import wasmtime

    return bytes(wasmtime.wat2wasm(text))


def test_the_module_equals_numpy_and_its_fuel_repeats(module: bytes) -> None:
    runs = [run_module(module, weights(), [example()]) for _ in range(3)]
    for name, given in zip(("probabilities", "hidden"), runs[0].outputs, strict=True):
        np.testing.assert_allclose(given, expected(example())[name], rtol=2e-6, atol=1e-6)
    assert len({run.fuel for run in runs}) == 1 and runs[0].fuel > 1000


def test_a_compiled_graph_gives_what_onnx_runtime_gives(tmp_path: Path) -> None:
    model, board = small_graph(), load_target("wasm32")
    kernels = compile_graph(model, board, tmp_path)
    linked = link([kernels.model, kernels.kernels], board, tmp_path / "out", executable=False)
    feed = random_inputs(kernels.inputs)
    assert linked.shared is not None
    result = run_module(linked.shared.read_bytes(), kernels.weights.read_bytes(), list(feed.values()))
    for given, wanted in zip(result.outputs, reference(model, feed).values(), strict=True):
        np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-5)


def test_a_corrupt_module_is_refused_in_one_sentence(module: bytes) -> None:
    turned = bytearray(module)
    turned[len(module) // 2] ^= 0xFF
    strangers = [
        b"", module[:8], module[:-100], bytes(turned),
        _assembled('(module (import "env" "f" (func)))'),
        _assembled(f"(module {_MEMORY})"),
        _assembled(f'(module {_MEMORY} (func (export "ep_get_model") (result i32) (i32.const -8)))'),
        _assembled(f'(module {_MEMORY} (func (export "ep_get_model") (param i64)))'),
        _assembled(f'(module {_MEMORY} (func (export "ep_get_model") unreachable))'),
        _assembled(f'(module {_MEMORY} (func (export "ep_get_model")))'),
    ]  # fmt: skip
    for stranger in strangers:
        with pytest.raises((BundleError, CheckError)) as caught:
            run_module(stranger, weights(), [example()])
        assert "\n" not in str(caught.value)


def test_a_run_that_does_not_end_or_does_not_fit_is_refused(module: bytes) -> None:
    with pytest.raises(CheckError, match="did not end within the fuel"):
        run_module(module, weights(), [example()], fuel=2000)
    with pytest.raises(BundleError, match="weights have 10 bytes"):
        run_module(module, weights()[:10], [example()])
    with pytest.raises(CheckError, match="shapes and types"):
        run_module(module, weights(), [example().astype(np.float64)])


def test_without_wasmtime_it_says_what_to_install(module: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    with pytest.raises(MissingExtraError, match="wasmtime"):
        run_module(module, weights(), [example()])
