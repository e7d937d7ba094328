"""Networks of several kinds agree with ONNX Runtime, on any number of threads; twice gives the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgepress.runtimes.native import NativeModel
from tests.compilers import networks
from tests.compilers.running import compiled, random_inputs, reference, worst

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's exporter warns of its own insides


def _residual() -> onnx.ModelProto:
    return networks.exported(networks.Residual(), torch.zeros(1, 3, 67, 61))


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "residual": _residual,
    "transformer": lambda: networks.exported(networks.Transformer(), torch.zeros(2, 13, dtype=torch.int64)),
    "sound": lambda: networks.exported(networks.sound(), torch.zeros(2, 1, 1234)),
    "aliases": lambda: networks.exported(
        networks.Aliases(), torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64)
    ),
    "choices": lambda: networks.exported(networks.Choices(), torch.zeros(1, 4, 6, 5)),
    "mobile": lambda: networks.exported(networks.small_mobile(), torch.zeros(1, 3, 49, 49)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_network_agrees_with_onnx_runtime(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    kernels, native = compiled(model, tmp_path)
    inputs = random_inputs(kernels.inputs)
    assert worst(native.run(inputs), reference(model, inputs)) < 1e-4
    assert [spec.name for spec in kernels.outputs] == [item.name for item in model.graph.output]
    names = [layer.name for layer in kernels.layers]
    assert native.layers() == names
    assert len(set(names)) == len(names)
    assert all(layer.nodes for layer in kernels.layers if layer.kernel != "copy")


def test_every_number_of_threads_gives_the_same_result(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = _residual()
    kernels, native = compiled(model, tmp_path)
    inputs = random_inputs(kernels.inputs)
    alone = native.run(inputs)
    for threads in (2, 3, 7):
        library = next(path for path in (tmp_path / "lib").glob("lib*") if path.suffix != ".a")
        again = NativeModel(library, kernels.weights.read_bytes(), threads=threads)
        for name, value in again.run(inputs).items():
            assert np.array_equal(value, alone[name])


def test_compiling_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    from edgepress.targets import load_target
    from edgepress.targets.compilers.tvm import compile_graph

    torch.manual_seed(0)
    model = _residual()
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        made = compile_graph(model, load_target("rpi4"), folder)
        paths = (made.kernels, made.model, made.header, made.weights)
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert digests[0] == digests[1]


def test_multiply_accumulates_are_counted(tmp_path: Path) -> None:
    from edgepress.targets import load_target
    from edgepress.targets.compilers.tvm import compile_graph

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(512, 5)
    )
    made = compile_graph(networks.exported(network, torch.zeros(1, 3, 8, 8)), load_target("rpi4"), tmp_path)
    assert made.macs == 8 * 8 * 8 * 27 + 512 * 5


def test_an_index_that_is_data_never_leaves_its_table(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MODELS["transformer"]()
    kernels, native = compiled(model, tmp_path)
    name = kernels.inputs[0].name
    shape = kernels.inputs[0].shape
    last = native.run({name: np.full(shape, 49, np.int64)})
    first = native.run({name: np.zeros(shape, np.int64)})
    for beyond in (50, 1_000_000):
        for key, value in native.run({name: np.full(shape, beyond, np.int64)}).items():
            assert np.array_equal(value, last[key])
    for key, value in native.run({name: np.full(shape, -1_000_000, np.int64)}).items():
        assert np.array_equal(value, first[key])
    for value in native.run({name: np.full(shape, (1 << 40) + 7, np.int64)}).values():
        assert np.isfinite(value).all()
