"""A codec's training from pictures to weights: progress in bits and decibels, pictures to look at on the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgepress.nn.codec import Codec, CodecConfig
from edgepress.progress import Progress, silent
from edgepress.training import codec as training
from edgepress.training.codec import Balance, Passage
from edgepress.training.codec_begin import begin
from edgepress.training.examples import Batch
from edgepress.training.loop import History, Record, fit
from edgepress.training.material import scaled
from edgepress.training.plan import Plan
from edgepress.training.sets import Sets

_BEGUN_ON = 6  # batches
_SHOWN = 4  # pictures
_SMOOTHED = 0.98  # of the figures before, in those that progress tells


def train_codec(
    config: CodecConfig,
    sets: Sets,
    plan: Plan,
    balance: Balance,
    *,
    folder: Path,
    device: str = "cpu",
    progress: Progress = silent,
    start: Codec | None = None,
) -> tuple[Codec, History]:
    """Train a codec; a run found in the folder goes on where it was.

    Args:
        sets: windows ``[n, channels, *extents]`` whose extents are multiples of the factor.
        folder: keeps the checkpoint, and ``pictures/STEP.png`` of what was kept apart: above the original, below what
            is decoded at the finest step, the middle one and the coarsest.
        start: a codec to begin with (see :func:`edgepress.training.codec_begin.begin`).

    Returns:
        The codec in evaluation mode, and how it went.

    Raises:
        DataError: the loss is no number, or the checkpoint is damaged or another run's.
        StorageError: the folder cannot be written to.
    """
    torch.manual_seed(plan.seed)
    codec = Codec(config)
    if config.axes == 2:
        codec = codec.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    samples = [sets.train.batch(number, plan.batch, plan.seed + 1)[0] for number in range(_BEGUN_ON)]
    begin(codec, torch.cat(samples), start)
    steps = (balance.finest, (balance.finest * balance.coarsest) ** 0.5, balance.coarsest)
    at, told = [0], [Passage(0.0, 0.0, 0.0)]

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        value, passage = training.loss(module, batch, balance)
        told[0] = _smoothed(told[0], passage)
        return value

    def score(module: nn.Module) -> float:
        assert isinstance(module, Codec)
        passed = training.passages(module, sets.held_out, steps)
        _show(module, sets, steps, folder / "pictures" / f"{at[0] + 1:06d}.png")
        lines = [f"{one.bits:.3f} bits {one.psnr:.2f} dB" for one in passed]
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"step {at[0] + 1}: {', '.join(lines)}\n")
        return training.score(passed, module, balance)

    def report(done: int, total: int, what: str = "") -> None:
        progress(done, total, f"{told[0].bits:.2f} bits a position, {told[0].psnr:.2f} dB")

    def before(step: int) -> None:
        at[0] = step

    folder.mkdir(parents=True, exist_ok=True)
    history = fit(
        codec, sets.train, loss, plan, score=score, folder=folder, before_step=before, device=device,
        progress=report,
    )  # fmt: skip
    return codec, history


def _smoothed(before: Passage, now: Passage) -> Passage:
    if not before.psnr:
        return now
    rest = 1 - _SMOOTHED
    return Passage(
        now.step, _SMOOTHED * before.psnr + rest * now.psnr, _SMOOTHED * before.bits + rest * now.bits
    )


def _show(codec: Codec, sets: Sets, steps: Sequence[float], path: Path) -> None:
    """Pictures that were kept apart, and what is decoded, as one picture."""
    if codec.config.axes != 2 or codec.config.channels not in (1, 3):
        return
    from PIL import Image

    device = next(codec.parameters()).device
    x = scaled(sets.held_out.take(torch.arange(min(_SHOWN, sets.held_out.count)))[0].to(device))
    codes = codec.codes(x)
    rows = [x]
    for number in steps:
        step = torch.full((len(x),), number, device=device)
        rows.append(codec.restored(codec.symbols(codes, step), step))
    whole = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    pixels = ((whole.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(0, 2).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(path)


def records(history: History) -> list[list[float]]:
    """Step, loss and score of each interval, for the weights' own log."""
    return [[record.step, round(record.loss, 5), round(_value(record), 5)] for record in history.records]


def _value(record: Record) -> float:
    return record.score if record.score is not None else float("nan")
