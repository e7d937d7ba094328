"""The hand-written model of ``tests/native/tiny``: its weights, an input, and what NumPy makes of them."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.targets.compilers.link import Linked, link
from edgepress.targets.description import Target
from edgepress.targets.load import load_target

Array = np.ndarray[Any, Any]

FOLDER = Path(__file__).parent / "tiny"
FILES = (FOLDER / "model.c", FOLDER / "kernels.c")
ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "runtimes" / "c"


def weights() -> bytes:
    """The weights as ``model.c`` lays them out."""
    random = np.random.default_rng(1)
    block = np.zeros(6976 // 4, np.float32)
    block[:1024] = random.normal(size=1024) / 4
    block[1024:1088] = random.normal(size=64)
    block[1088:1728] = random.normal(size=640) / 8
    block[1728:1738] = random.normal(size=10)
    return block.tobytes()


def example() -> Array:
    """One input."""
    return np.random.default_rng(2).normal(size=(1, 16)).astype(np.float32)


def expected(x: Array) -> dict[str, Array]:
    """What the model gives, in float64."""
    block = np.frombuffer(weights(), np.float32).astype(np.float64)
    dense = block[:1024].reshape(64, 16) @ x[0].astype(np.float64) + block[1024:1088]
    hidden = 0.5 * dense * (1 + np.array([math.erf(v * 0.70710678) for v in dense]))
    logits = block[1088:1728].reshape(10, 64) @ hidden + block[1728:1738]
    raised = np.exp(logits - logits.max())
    return {"probabilities": (raised / raised.sum())[None], "hidden": hidden[None]}


def build(target: Target | str, out: Path, *, define: str = "", executable: bool = False) -> Linked:
    """Link the tiny model for a target; ``define`` is put before the kernels."""
    target = load_target(target) if isinstance(target, str) else target
    if not define:
        return link(FILES, target, out, "tiny", executable=executable)
    source = out / "changed"
    source.mkdir(parents=True)
    shutil.copyfile(FOLDER / "model.c", source / "model.c")
    shutil.copyfile(FOLDER / "model.h", source / "model.h")
    (source / "kernels.c").write_text(f"#define {define} 1\n" + (FOLDER / "kernels.c").read_text())
    return link([source / "model.c", source / "kernels.c"], target, out, "tiny", executable=executable)
