"""A library goes when its model does."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from edgepress.errors import BundleError
from edgepress.runtimes.native import NativeModel
from tests.native.tiny_model import example, weights

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="platform: mappings are listed by Linux")


def mappings(path: Path) -> int:
    """How many of this process's mappings are of the file."""
    gc.collect()
    return Path("/proc/self/maps").read_text().count(path.name)


@pytest.mark.parametrize("threads", [1, 3])
def test_nothing_stays_mapped(here_library: Path, tmp_path: Path, threads: int) -> None:
    path = tmp_path / f"unloaded-{threads}.so"
    path.write_bytes(here_library.read_bytes())
    for _ in range(25):
        model = NativeModel(path, weights(), threads=threads)
        result = model.run({"x": example()})
        assert mappings(path) > 0
        del model
        assert mappings(path) == 0
        assert result["probabilities"].sum() == pytest.approx(1, abs=1e-5)


def test_nothing_stays_of_a_model_that_could_not_be_made(here_library: Path, tmp_path: Path) -> None:
    path = tmp_path / "refused.so"
    path.write_bytes(here_library.read_bytes())
    with pytest.raises(BundleError):
        NativeModel(path, weights()[:100])
    assert mappings(path) == 0


def test_one_of_two_models_stays(here_library: Path) -> None:
    first, second = NativeModel(here_library, weights()), NativeModel(here_library, weights(), threads=2)
    del first
    gc.collect()
    assert second.run({"x": example()})["probabilities"].shape == (1, 10)
