"""What a device imports is light: no torch, onnx or tvm, and nothing else that only an extra brings."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.structure.house import ROOT, modules

HEAVY = (
    "torch",
    "onnx",
    "tvm",
    "tvm_ffi",
    "onnxscript",
    "unicorn",
    "elftools",
    "wasmtime",
    "ziglang",
    "skimage",
    "scipy",
    "uvicorn",
    "prometheus_client",
)
DEVICE = (
    "errors", "version", "paths", "records", "replacing", "tensor", "measurement", "cost", "progress", "inputs",
    "outputs", "bundle", "coding", "metrics", "targets", "recipe", "source", "samples", "zoo", "runtimes", "hardware",
    "evaluate", "cli",
)  # fmt: skip


def device_modules() -> list[str]:
    """What a device may import; modules that exist for torch or for servers are no part of it."""
    return [
        name
        for name, file in modules().items()
        if name.split(".")[1:2] and name.split(".")[1] in DEVICE
        and not name.startswith(("edgepress.targets.compilers", "edgepress.runtimes.serve"))
        and name not in ("edgepress.cli.build", "edgepress.cli.init")
        and file.stem != "__main__"
    ]  # fmt: skip


def python(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints for ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_device_modules_load_where_no_extra_is_installed() -> None:
    """Every one of them, with the heavy packages made impossible to import."""
    code = (
        "import importlib, json, sys\n"
        "heavy, names = json.loads(sys.argv[1])\n"
        "sys.modules.update({name: None for name in heavy})\n"
        "for name in names: importlib.import_module(name)\n"
    )
    python(code, json.dumps([HEAVY, device_modules()]))


@pytest.mark.parametrize(
    "name", ["edgepress", "edgepress.runtimes.session", "edgepress.cli.run", "edgepress.cli.main"]
)
def test_nothing_heavy_is_imported_where_it_is_installed(name: str) -> None:
    loaded = python(f"import sys, {name}; print(*sys.modules)").split()
    assert not {module.split(".")[0] for module in loaded} & set(HEAVY)


def test_import_edgepress_costs_little_beside_numpy_and_onnxruntime() -> None:
    """A ratio, the best of several, so that a slow or a busy machine changes nothing."""
    clock = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"

    def best(what: str) -> float:
        return min(float(python(clock.format(what))) for _ in range(5))

    assert best("edgepress") < 0.5 * best("numpy, onnxruntime")
