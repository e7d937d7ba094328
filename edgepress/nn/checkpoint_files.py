"""A checkpoint on disk: a safetensors file, or a folder as Hugging Face's libraries write it.

A folder holds ``config.json`` and ``model.safetensors``, or several files with an index that says which tensor is
in which. Pickled weights are refused: reading them runs code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepress.errors import MissingExtraError, SourceError

if TYPE_CHECKING:
    from torch import Tensor

_SUFFIX = ".safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_LARGEST_JSON = 64 << 20


@dataclass(frozen=True)
class Checkpoint:
    """Where a checkpoint's tensors are.

    Attributes:
        name: of the file or the folder, for messages.
        files: the safetensors files.
        index: the file of each tensor, where an index says so.
        config: what ``config.json`` holds; empty for a lone file.
    """

    name: str
    files: tuple[Path, ...]
    index: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """The network that the checkpoint says it is of, or an empty text."""
        named = self.config.get("architectures")
        text = str(named[0])[:80] if isinstance(named, list) and named else ""
        return "".join(character for character in text if character.isprintable())


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder looks like a Hugging Face checkpoint."""
    return (folder / "config.json").is_file()


def find_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint that a path means; no tensor is read yet.

    Raises:
        SourceError: there is none, it is pickled, or its JSON files make no sense.
    """
    if path.is_file():
        if path.suffix in _PICKLED:
            raise _pickled(path)
        return Checkpoint(path.name, (path,))
    if not path.is_dir():
        raise SourceError(f"{path} does not exist; give a safetensors file, or a folder that holds one")
    config = _json(path / "config.json") if is_checkpoint(path) else {}
    if (path / _INDEX).is_file():
        index = _weight_map(path)
        files = tuple(path / name for name in sorted(set(index.values())))
        missing = next((file for file in files if not file.is_file()), None)
        if missing is not None:
            raise SourceError(
                f"{path} lacks {missing.name}, which its index names; download the checkpoint again"
            )
        return Checkpoint(path.name, files, index, config)
    files = tuple(sorted(path.glob(f"*{_SUFFIX}")))
    if not files:
        pickled = next((file for file in sorted(path.iterdir()) if file.suffix in _PICKLED), None)
        if pickled is not None:
            raise _pickled(pickled)
        raise SourceError(f"{path} holds no {_SUFFIX} file; give the folder of a checkpoint")
    return Checkpoint(path.name, files, {}, config)


def read_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Every tensor of a checkpoint by its name.

    Raises:
        SourceError: a file cannot be read, a tensor is in two files, or not where the index says.
        MissingExtraError: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise MissingExtraError("reading a checkpoint", "safetensors", "train") from None
    found: dict[str, Tensor] = {}
    for path in checkpoint.files:
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118
                    if checkpoint.index and checkpoint.index.get(name) != path.name:
                        continue
                    if name in found:
                        raise SourceError(
                            f"{checkpoint.name} holds {name!r} in two files; give a checkpoint with an index"
                        )
                    found[name] = file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            cause = " ".join(str(error).split())[:200]
            raise SourceError(
                f"{path} is no safetensors file that can be read ({cause}); download it again"
            ) from None
    lost = next((name for name in checkpoint.index if name not in found), None)
    if lost is not None:
        raise SourceError(
            f"{checkpoint.name} lacks {lost[:200]!r}, which its index names; download the checkpoint again"
        )
    return found


def _pickled(path: Path) -> SourceError:
    return SourceError(
        f"{path.name} holds pickled weights, which can run code as they are read; save them as safetensors"
    )


def _weight_map(folder: Path) -> dict[str, str]:
    found = _json(folder / _INDEX).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise SourceError(
            f"{_INDEX} in {folder} has no weight_map of tensors to files; download the checkpoint again"
        )
    for name, file in found.items():
        if not isinstance(file, str) or not file.endswith(_SUFFIX) or file != Path(file).name or "\\" in file:
            raise SourceError(
                f"{_INDEX} in {folder} puts {name[:80]!r} into {str(file)[:80]!r}, which is no {_SUFFIX} file beside it"
            )
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise SourceError(f"{path} is too large for a description; download the checkpoint again")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise SourceError(f"{path} is no JSON file that can be read; download the checkpoint again") from None
    if not isinstance(found, dict):
        raise SourceError(f"{path} holds no table of settings; download the checkpoint again")
    return found
