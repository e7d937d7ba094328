"""ncnn, converted by pnnx; int8 with symmetric activations, its own form, not the same model."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.peers.inputs import Array, example_set
from tests.benchmarks.peers.running import Running, precision_of
from tests.benchmarks.peers.task import Task, package_version

SOURCES = tuple(Path(__file__).parents[1] / name for name in ("networks.py", "ncnn_int8.py"))


def version() -> str:
    """ncnn's, and its converter's."""
    return f"{package_version('ncnn')} (pnnx {package_version('pnnx')})"


def convert(task: Task, folder: Path) -> None:
    """Trace, convert, and quantise where asked."""
    import pnnx
    import torch

    from tests.benchmarks.peers.ncnn_int8 import quantise
    from tests.benchmarks.peers.networks import network

    made = network(task.network, task.size, task.width)
    # pnnx takes the first extent for the batch, which ncnn has none of.
    tensors = tuple(torch.from_numpy(_batched(array)) for array in example_set(made.inputs, 0).values())
    with torch.no_grad():
        traced: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
            made.module(), tensors, check_trace=False
        )
        traced.save(str(folder / "model.pt"))
    shapes = ",".join(str(list(tensor.shape)).replace(" ", "") for tensor in tensors)
    command = [pnnx.EXEC_PATH, "model.pt", f"inputshape={shapes}", "fp16=0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or not (folder / "model.ncnn.bin").is_file():
        raise RuntimeError(f"pnnx failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    for name in ("param", "bin"):
        os.replace(folder / f"model.ncnn.{name}", folder / f"model.{name}")
    if task.precision == "int8":
        quantise(folder / "model.param", folder / "model.bin", task.model)


def _batched(array: Array) -> Array:
    return array if array.ndim == 4 else array[None]


def load(task: Task, folder: Path) -> Running:
    """A net in full precision; each run is an extractor of its own, as its interface has it."""
    import ncnn

    net = ncnn.Net()
    options = net.opt
    options.num_threads = task.threads
    options.use_vulkan_compute = False
    options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
    options.use_bf16_storage = False
    if net.load_param(str(folder / "model.param")) or net.load_model(str(folder / "model.bin")):
        raise RuntimeError("ncnn does not load what pnnx made")
    lines = (folder / "model.param").read_text("utf-8").splitlines()
    layers = [line.split() for line in lines if line.startswith(("Convolution", "InnerProduct", "Gemm"))]
    integer = sum(
        any(word.startswith("18=" if words[0] == "Gemm" else "8=") for word in words) for words in layers
    )
    given_names = [f"in{i}" for i in range(len(task.inputs))]
    made_names = [f"out{i}" for i in range(len(task.outputs))]
    mats: list[Any] = []
    last: list[Any] = []

    def feed(given: Mapping[str, Array]) -> None:
        arrays = [np.ascontiguousarray(_batched(given[spec.name])[0]) for spec in task.inputs]
        mats[:] = [ncnn.Mat(array).clone() for array in arrays]

    def run() -> None:
        extractor = net.create_extractor()
        for name, mat in zip(given_names, mats, strict=True):
            extractor.input(name, mat)
        last[:] = [extractor.extract(name)[1] for name in made_names]

    def read() -> dict[str, Array]:
        return {
            spec.name: np.array(mat).reshape(spec.shape) for spec, mat in zip(task.outputs, last, strict=True)
        }

    return Running(
        feed, run, read, precision_of(integer, len(layers)), int(net.opt.num_threads), "",
        task.precision == "int8",
    )  # fmt: skip
