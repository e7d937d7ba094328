"""Write a run's outputs as ``.npy`` files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.replacing import replacing


def save_outputs(
    folder: Path, number: int, source: str, outputs: Mapping[str, np.ndarray[Any, Any]]
) -> list[str]:
    """Write each output to ``NUMBER-SOURCE-OUTPUT.npy`` and return the paths.

    Args:
        folder: made where it does not exist.
        number: the example's place in the run, from 0, which keeps names apart.
        source: the file the example came from; its stem goes into the name.
        outputs: by tensor name.

    Raises:
        StorageError: the folder or a file cannot be written.
    """
    saved = []
    stem = "stdin" if source == "-" else _plain(Path(source).stem)
    for name, array in outputs.items():
        path = folder / f"{number:03d}-{stem}-{_plain(name)}.npy"
        with replacing(path, "choose another folder with --save", folders=True) as file:
            np.save(file, array, allow_pickle=False)
        saved.append(str(path))
    return saved


def _plain(name: str) -> str:
    """A file name's part: letters, digits, '.', '_' and '-' only."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", name).strip("._") or "output"
