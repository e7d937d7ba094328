"""A build written down: every choice that the command line offers, as a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgepress.errors import UsageError
from edgepress.inputs import InputKind
from edgepress.outputs import OutputKind
from edgepress.records import RecordError, decode
from edgepress.zoo import DEFAULT

_LARGEST_RECIPE = 1 << 20
_MOST_SAMPLES = 65_536
_MOST_GOLDEN = 64
_PARTS = re.compile(r"\s*[A-Za-z_]\w*\s*=")
_NAME = re.compile(r"\w[\w. -]{0,99}\Z")


@dataclass(frozen=True)
class InputRecipe:
    """One input: its shape and type where the model does not say, and how it is made."""

    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    prepare: InputKind | None = None


@dataclass(frozen=True)
class GateLimits:
    """What the pressed network may lose against the float one.

    Attributes:
        accuracy_drop: with labelled data, at most this share of right answers may be lost.
        agreement: without labels, at least this share of first choices must stay the same. The pictures that
            come along are hard ones: 95 % on them goes with 99 % on photographs of what the network knows.
        sqnr_db: without labels, the least signal-to-quantisation-noise ratio of every output, in dB.
    """

    accuracy_drop: float = 0.01
    agreement: float = 0.90
    sqnr_db: float = 15.0

    def __post_init__(self) -> None:
        for name in ("accuracy_drop", "agreement"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class Recipe:
    """A build.

    Attributes:
        model: see :func:`edgepress.source.resolve`.
        weights: a checkpoint for a model that is torch code; empty takes the weights that it has.
        target: a board's name, or a path to its TOML file; of a model of several parts also ``PART=BOARD`` with
            commas, a board for each part.
        method: ``auto``, or the name of a compression method.
        options: the method's own configuration.
        name: what the model is called; empty takes the source's name.
        output: the bundle to write; empty means ``NAME-TARGET.edge``.
        inputs: by tensor name.
        outputs: what the outputs mean, by tensor name.
        labels: a file with one class name a line, for the first output.
        teachers: what a student was distilled from, as ``model`` names one, where the zoo does not have it.
        fallback: a whole network for a student's device, used where no server answers, as ``model`` names one.
        tile: samples of an axis that a codec's networks are compiled for; 0 takes a size that serves most boards.
        data: a folder of examples to calibrate and to check with; empty takes pictures that come along. A method that
            trains takes ``file.py:callable``, ``package.module:callable`` and ``digits`` too.
        samples: how many examples are used for calibration, at most.
        golden: how many golden examples the bundle carries.
        engines: compilers to use; empty takes all that the target names.
        gate: what may be lost.
        on: a device that decides between engines by measuring: ``local`` or empty.
    """

    model: str = DEFAULT
    weights: str = ""
    target: str = "host"
    method: str = "auto"
    options: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    output: str = ""
    inputs: dict[str, InputRecipe] = field(default_factory=dict)
    outputs: dict[str, OutputKind] = field(default_factory=dict)
    labels: str = ""
    teachers: tuple[str, ...] = ()
    fallback: str = ""
    tile: int = 0
    data: str = ""
    samples: int = 64
    golden: int = 2
    engines: tuple[str, ...] = ()
    gate: GateLimits = field(default_factory=GateLimits)
    on: str = ""

    def __post_init__(self) -> None:
        if not (1 <= self.samples <= _MOST_SAMPLES and 1 <= self.golden <= _MOST_GOLDEN):
            raise ValueError(f"samples is 1 to {_MOST_SAMPLES} and golden 1 to {_MOST_GOLDEN}")
        if self.tile < 0:
            raise ValueError(f"a tile of {self.tile} samples; give a multiple of the codec's factor")
        if self.name and not _NAME.match(self.name):
            raise ValueError(
                f"the name {self.name[:40]!r} does not serve for a file; use letters, digits, '.', '_' and '-'"
            )


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; paths in it count from its own folder.

    Raises:
        UsageError: it is missing, no TOML, or has a key or a value that does not fit.
    """
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no file; give a recipe in TOML")
        if path.stat().st_size > _LARGEST_RECIPE:
            raise UsageError(f"{path} is too large for a recipe (1 MiB at most)")
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; edgepress init writes a recipe to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}); give a text file") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None
    try:
        recipe = decode(Recipe, plain)
    except RecordError as error:
        raise UsageError(f"{path}: {error}") from None
    return _rooted(recipe, path.parent)


def _rooted(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with its relative paths counted from ``folder``."""

    def root(text: str, is_path: bool) -> str:
        return str(folder / text) if text and is_path and not Path(text).is_absolute() else text

    changes = {
        "model": root(recipe.model, _is_path(recipe.model)),
        "fallback": root(recipe.fallback, _is_path(recipe.fallback)),
        "teachers": tuple(root(teacher, _is_path(teacher)) for teacher in recipe.teachers),
        "weights": root(recipe.weights, True),
        "target": _rooted_target(recipe.target, root),
        "output": root(recipe.output, True),
        "labels": root(recipe.labels, True),
        "data": _rooted_data(recipe.data, folder),
        "options": {
            name: root(value, _is_path(value)) if isinstance(value, str) else value
            for name, value in recipe.options.items()
        },
    }
    return Recipe(**{**{name: getattr(recipe, name) for name in recipe.__dataclass_fields__}, **changes})


def part_targets(text: str) -> dict[str, str]:
    """``PART=BOARD`` with commas as a table; one board for all of them stands under an empty name.

    Raises:
        UsageError: a part is named twice, or has no board.
    """
    if not _PARTS.match(text):
        return {"": text}
    found: dict[str, str] = {}
    for piece in text.split(","):
        part, _, board = (word.strip() for word in piece.partition("="))
        if not board or part in found:
            raise UsageError(
                f"the target {text!r} does not give each part one board; write PART=BOARD,PART=BOARD"
            )
        found[part] = board
    return found


def _rooted_target(text: str, root: Callable[[str, bool], str]) -> str:
    rooted = {part: root(board, board.endswith(".toml")) for part, board in part_targets(text).items()}
    return ",".join(f"{part}={board}" if part else board for part, board in rooted.items())


def _is_code(text: str) -> bool:
    """Whether it is ``file.py:callable``, whose path is all but the last colon and what follows."""
    return text.rpartition(":")[0].endswith(".py")


def _is_path(model: str) -> bool:
    """Whether a model is named by a path."""
    return model.endswith((".onnx", ".safetensors")) or _is_code(model)


def _rooted_data(data: str, folder: Path) -> str:
    """Data counted from ``folder`` where they are a path: a module's callable and ``digits`` are none."""
    if not data or Path(data).is_absolute():
        return data
    is_name = data == "digits" or (":" in data and not _is_code(data))
    return data if is_name and not (folder / data).is_dir() else str(folder / data)
