"""Everything that a codec's training is decided by; and the training as a whole, from folders to a file."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgepress.errors import UsageError
from edgepress.nn.codec.codec_file import read_codec_file, write_codec
from edgepress.nn.codec.config import CodecConfig, Kind
from edgepress.nn.codec.frozen import FrozenCodec
from edgepress.progress import Progress, silent
from edgepress.training.codec import Balance
from edgepress.training.codec_freeze import freeze_trained
from edgepress.training.codec_run import records, train_codec
from edgepress.training.material import Material
from edgepress.training.plan import Plan
from edgepress.training.windows import window_sets

_LEARNING_RATE, _WARMUP = 1e-3, 0.02
RATES = (0.25, 0.4, 0.65, 1.0)


@dataclass(frozen=True)
class CodecRecipe:
    """A codec's training.

    Attributes:
        config: its form.
        plan: steps, batches and learning rate.
        balance: what is made small.
        window: samples of a training window along each axis; a multiple of the codec's factor.
        held_out: files kept apart to score on.
        rates: bits a sample position that it shall serve.
        start: a codec's file to begin with (see :func:`edgepress.training.codec_begin.begin`).
    """

    config: CodecConfig
    plan: Plan
    balance: Balance = field(default_factory=Balance)
    window: int = 192
    held_out: int = 24
    rates: tuple[float, ...] = RATES
    start: Path | None = None

    def __post_init__(self) -> None:
        factor = self.config.factor
        if self.window < 8 * factor or self.window % factor:
            raise UsageError(
                f"a window of {self.window} samples; give a multiple of {factor}, at least {8 * factor}, with --window"
            )
        if not self.rates or not all(0 < rate < 100 for rate in self.rates):
            raise UsageError(f"the rates {self.rates}; give bits a sample position, such as 0.25,0.5,1")


def recipe_for(kind: Kind, **changes: Any) -> CodecRecipe:
    """The recipe by which the codecs of the zoo were made, with changes.

    Args:
        kind: ``walloc`` (f8c12) or ``liveaction`` (f16c48).
        changes: attributes of the recipe's parts, by name; None leaves one as it is.

    Raises:
        UsageError: a number is out of range.
    """
    walloc = kind == "walloc"
    config = CodecConfig() if walloc else CodecConfig(
        "liveaction", levels=4, latents=48, encoder_blocks=3, refine=1
    )  # fmt: skip
    plan = Plan(
        steps=14_000 if walloc else 6_500,
        batch=8,
        rate=_LEARNING_RATE,
        warmup=_WARMUP,
        precision="bfloat16",
        every=500,
    )
    recipe = CodecRecipe(config, plan)
    given = {name: value for name, value in changes.items() if value is not None}
    parts: dict[str, Any] = {}
    try:
        for part in ("config", "plan", "balance"):
            names = {field.name for field in dataclasses.fields(getattr(recipe, part))}
            parts[part] = dataclasses.replace(
                getattr(recipe, part), **{name: given.pop(name) for name in list(given) if name in names}
            )
        return dataclasses.replace(recipe, **parts, **given)
    except ValueError as error:
        raise UsageError(f"{error}") from None


def train(
    recipe: CodecRecipe,
    data: list[Path],
    output: Path,
    folder: Path,
    *,
    command: str = "",
    device: str = "cpu",
    progress: Progress = silent,
) -> FrozenCodec:
    """Train a codec on folders and write its file.

    Args:
        folder: keeps checkpoints and pictures to look at; a training found there goes on.
        command: as it was given, for the file's facts.

    Raises:
        DataError: there is too little material, or the loss is no number.
        SourceError: the file to begin with is none, or of another form.
        StorageError: something cannot be written.
    """
    material = Material(data, recipe.config.axes, recipe.config.channels, recipe.window)
    sets = window_sets(material, recipe.window, recipe.held_out)
    start = None
    if recipe.start is not None:
        start = read_codec_file(recipe.start)
    codec, history = train_codec(
        recipe.config, sets, recipe.plan, recipe.balance, folder=folder, device=device, progress=progress,
        start=start.module if start is not None else None,
    )  # fmt: skip
    facts: dict[str, Any] = {
        "command": command,
        "data": material.origin,
        "data_digest": material.digest,
        "plan": dataclasses.asdict(recipe.plan),
        "balance": dataclasses.asdict(recipe.balance),
        "window": recipe.window,
        "torch": torch.__version__,
        "history": records(history),
    }
    if start is not None and recipe.start is not None:
        facts["start"] = {**start.facts, "sha256": hashlib.sha256(recipe.start.read_bytes()).hexdigest()}
    frozen = freeze_trained(codec.to("cpu"), material, sets, recipe.rates, recipe.balance, facts, progress)
    write_codec(output, frozen)
    return frozen
