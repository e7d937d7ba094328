"""Recipes and commands for tests of whole builds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgepress.build.cache import StepCache

NETS = Path(__file__).with_name("nets.py")
PICTURE = ("--input", "image:1x3x32x32", "--image", "--mean", "127", "--std", "128")
Edgepress = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def cnn_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The picture classifier as an ONNX file: building from it does not wait for torch."""
    from edgepress.exporters.torch_onnx import export_module
    from edgepress.tensor import TensorSpec
    from tests.build.nets import small_cnn

    torch.manual_seed(0)
    exported = export_module(small_cnn(), [TensorSpec("image", (1, 3, 32, 32))], max_opset=21, max_ir=10)
    path = tmp_path_factory.mktemp("nets") / "small-cnn.onnx"
    path.write_bytes(exported.model.SerializeToString(deterministic=True))
    return path


@pytest.fixture(scope="session")
def split_cache(tmp_path_factory: pytest.TempPathFactory) -> StepCache:
    """The steps of students' builds, which several tests share."""
    return StepCache(tmp_path_factory.mktemp("split-cache"))


@pytest.fixture
def edgepress(tmp_path: Path) -> Edgepress:
    """Runs the command line as users do, in a process of its own, in a folder of its own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgepress", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(NETS.parents[2]), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
