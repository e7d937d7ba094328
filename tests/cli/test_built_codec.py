"""A codec from torch to streams: built for this machine, run by every engine, in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgepress.build import build
from edgepress.nn.codec.codec import filled_up
from edgepress.recipe import Recipe
from tests.codecs import nets
from tests.codecs.made import session
from tests.codecs.test_files import save
from tests.codecs.test_session import photograph

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For this machine, machine code and all."""
    path = tmp_path_factory.mktemp("built") / "codec.edge"
    build(Recipe(model=f"{nets.__file__}:built", target="host", output=str(path), tile=64))
    return path


def test_every_engine_sends_what_torch_sends(bundle: Path) -> None:
    frozen, picture = nets.built(), photograph(150, 211)
    samples = torch.from_numpy(picture.transpose(2, 0, 1)[None] / np.float32(127.5) - 1)
    with torch.no_grad():
        steps = torch.tensor([4.0])
        symbols = frozen.module.symbols(frozen.module.codes(filled_up(samples, 4)), steps)
        restored = frozen.module.restored(symbols, steps)[0, :, :150, :211].numpy()
    pixels = np.clip(np.rint((restored + 1) * 127.5), 0, 255).transpose(1, 2, 0)
    for engine in ("aot", "ort", "portable"):
        with session(bundle, engine=engine, trust=True) as codec:
            found = codec.latents(picture, 1, integers=True)
            assert np.unique(found).size > 10
            assert np.mean(found != symbols[0].numpy()) <= 0.001
            decoded = codec.decode(codec.encode(picture, 1)).astype(float)
        assert np.mean(np.abs(decoded - pixels) > 1) <= 0.01


def test_processes_of_their_own(bundle: Path, tmp_path: Path, process: Callable[..., Any]) -> None:
    save(tmp_path / "a.png", photograph(70, 90))
    there = process("-m", "edgepress", "encode", "a.png", "--codec", bundle, "--trust", cwd=tmp_path)
    assert (there.returncode, there.stderr) == (0, b"")
    back = process(
        "-m", "edgepress", "decode", "a.epc", "-o", "b.png", "--codec", bundle, "--trust", cwd=tmp_path
    )
    assert (back.returncode, back.stderr) == (0, b"")
    extract = process(
        "-m", "edgepress", "extract", bundle, "--part", "encoder", "-o", "half.edge", cwd=tmp_path
    )
    assert extract.returncode == 0
    again = process(
        "-m", "edgepress", "encode", "a.png", "-o", "c.epc", "--codec", "half.edge", "--trust", cwd=tmp_path
    )
    assert again.returncode == 0
    assert (tmp_path / "c.epc").read_bytes() == (tmp_path / "a.epc").read_bytes()
    half = process(
        "-m", "edgepress", "decode", "a.epc", "-o", "d.png", "--codec", "half.edge", "--trust", cwd=tmp_path
    )
    assert half.returncode == 2 and b"holds no decoder" in half.stderr
