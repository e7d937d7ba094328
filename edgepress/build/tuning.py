"""What ``edgepress tune`` measured on this machine: a TOML file for people, read by later builds for the host.

Each entry is a kernel's shape with the tile that the rule gives it; where the rule has changed since, the entry
no longer fits and is not used.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepress.errors import StorageError, UsageError
from edgepress.hardware.hwbench import machine_key
from edgepress.hardware.machine import this_machine
from edgepress.paths import cache_dir
from edgepress.records import RecordError, decode
from edgepress.targets import Target

_FORM = 1
_LARGEST = 1 << 20
_MOST_ROWS = 64
_HEAD = """\
# Tiles that edgepress tune measured on this machine. Builds for the host use them; remove an entry, or the
# file, and the rule decides again. "by" is the tile of the rule, rows x columns; "ratio" is the kernel's time
# with these rows over the rule's, with its 95 % interval.
"""


@dataclass(frozen=True)
class TunedTile:
    """A kernel whose tile was measured.

    Attributes:
        shape: what it sums, and over what.
        by: the rule's tile, rows x columns.
        rows: the rows that were faster.
        ratio, low, high: its time with them over the rule's, and the 95 % interval.
    """

    shape: str
    by: str
    rows: int
    ratio: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= _MOST_ROWS:
            raise ValueError(f"rows is {self.rows}; it is 1 to {_MOST_ROWS}")


@dataclass(frozen=True)
class _File:
    cpu: str
    tiles: tuple[TunedTile, ...] = ()
    form: int = _FORM


def tuning_file() -> Path:
    """Where this machine's measured tiles are kept."""
    return cache_dir() / "tuning" / f"{machine_key()}.toml"


def read_tuning() -> tuple[TunedTile, ...]:
    """What was measured on this machine; none where there is no file.

    Raises:
        UsageError: the file is none that this edgepress reads.
    """
    path = tuning_file()
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{path} is too large for a list of tiles; remove it to measure anew")
        found = decode(_File, tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, RecursionError) as error:
        cause = str(error) if isinstance(error, (RecordError, tomllib.TOMLDecodeError)) else "it is no text"
        raise UsageError(
            f"{path} cannot be read ({cause[:200]}); mend it, or remove it to measure anew"
        ) from None
    return found.tiles if found.form == _FORM and found.cpu == this_machine().cpu else ()


def tiles_for(target: Target) -> dict[str, int]:
    """The rows of the tiles that were measured, by shape and the rule's tile; none for any board but the host.

    Raises:
        UsageError: the file is none that this edgepress reads.
    """
    return as_mapping(read_tuning()) if target.kind == "host" else {}


def as_mapping(tiles: Sequence[TunedTile]) -> dict[str, int]:
    """Tiles as the compiler takes them."""
    return {f"{tile.shape} by {tile.by}": tile.rows for tile in tiles}


def keep_tiles(tiles: Sequence[TunedTile], gone: Sequence[str]) -> Path:
    """Add tiles to the file, in place of what it says of the same kernels and of those in ``gone``.

    Raises:
        StorageError: it cannot be written.
        UsageError: the file that is there cannot be read.
    """
    kept = {key: tile for tile in read_tuning() for key in as_mapping([tile]) if key not in gone}
    kept |= {key: tile for tile in tiles for key in as_mapping([tile])}
    lines = [_HEAD, f"form = {_FORM}", f"cpu = {_text(this_machine().cpu)}"]
    for key in sorted(kept):
        lines += [
            "",
            "[[tiles]]",
            *(f"{name} = {_text(value)}" for name, value in _fields(kept[key]).items()),
        ]
    path = tuning_file()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text("\n".join(lines) + "\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror}); set EDGEPRESS_CACHE to a folder that can"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return path


def _fields(tile: TunedTile) -> Mapping[str, Any]:
    figures = {name: round(getattr(tile, name), 4) for name in ("ratio", "low", "high")}
    return {"shape": tile.shape, "by": tile.by, "rows": tile.rows, **figures}


def _text(value: Any) -> str:
    """A value as TOML."""
    if not isinstance(value, str):
        return repr(value)
    plain = "".join(char if char.isprintable() and char not in '"\\' else "?" for char in value)
    return f'"{plain}"'
