"""``edgepress train walloc`` and ``liveaction``: a learned codec from a folder of pictures, recordings or arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgepress.cli.table import columns, echo_json
from edgepress.cli.training import set_up, steps_told, the_command, train_until_stopped
from edgepress.errors import UsageError

if TYPE_CHECKING:
    from edgepress.nn.codec.config import Kind
    from edgepress.nn.codec.frozen import FrozenCodec


_OPTIONS = (
    click.option(
        "--data",
        required=True,
        multiple=True,
        type=click.Path(path_type=Path),
        help="A folder; may be repeated.",
    ),
    click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        help="The codec's file; KIND.safetensors by default.",
    ),
    click.option(
        "--run",
        "folder",
        type=click.Path(path_type=Path),
        help="Where checkpoints go; OUTPUT.run by default.",
    ),
    click.option("--axes", type=int, help="1: recordings, 2: pictures (default), 3: volumes."),
    click.option("--channels", type=int, help="Of what is encoded; 3 by default."),
    click.option(
        "--levels",
        type=int,
        help="Splits of the wavelet packet: a latent stands for 2^levels samples an axis.",
    ),
    click.option("--latents", type=int, help="Channels of the latents."),
    click.option("--encoder-blocks", type=int, help="Residual blocks of a liveaction encoder."),
    click.option("--width", type=int, help="Channels of the decoder."),
    click.option("--blocks", type=int, help="Residual blocks of the decoder."),
    click.option(
        "--refine", type=int, help="The decoder works on positions 2^refine times as dense as latents."
    ),
    click.option("--steps", type=click.IntRange(1), help="Batches in all."),
    click.option("--batch", type=click.IntRange(1), help="Windows in a batch."),
    click.option("--learning-rate", "rate", type=float, help="The highest."),
    click.option("--window", type=int, help="Samples of a window along each axis."),
    click.option("--price", type=float, help="What a bit a latent costs, in tenfold errors."),
    click.option("--rates", help="Bits a pixel to serve, such as 0.25,0.4,0.65,1."),
    click.option("--seed", type=click.IntRange(0), help="Of weights, order and windows."),
    click.option(
        "--precision", type=click.Choice(["float32", "bfloat16"]), help="Of the decoder's products."
    ),
    click.option(
        "--start", type=click.Path(path_type=Path), help="A codec's file of the same form to begin with."
    ),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda …"),
    click.option("--threads", type=click.IntRange(1, 256), help="How many threads to train on."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)


def _command(kind: Kind) -> click.Command:
    """The command that trains a codec of a family."""

    @click.command(name=kind)
    @click.pass_context
    def train(ctx: click.Context, /, data: tuple[Path, ...], as_json: bool, **given: Any) -> None:
        """Train a codec on what the folders hold, and write one file.

        What is left out of the options is as the zoo's walloc-f8c12 and liveaction-f16c48 were made. A training that
        was stopped goes on when the same command is given again; pictures decoded on the way are in the run's folder.
        edgepress build takes the file.
        """
        output: Path = given.pop("output") or Path(f"{kind}.safetensors")
        folder: Path = given.pop("folder") or output.with_name(f"{output.name}.run")

        def work() -> None:
            _say(_train(kind, list(data), output, folder, given), output, as_json)

        train_until_stopped(ctx, folder, work)

    for option in reversed(_OPTIONS):
        train = option(train)
    return train


def _train(kind: Kind, data: list[Path], output: Path, folder: Path, given: dict[str, Any]) -> FrozenCodec:
    device, rates = given.pop("device"), given.pop("rates")
    set_up(given.pop("threads"), device)
    from edgepress.training.codec_recipe import recipe_for, train

    wanted = _rates(rates) if rates is not None else None
    recipe = recipe_for(kind, rates=wanted, **given)
    with steps_told() as report:
        return train(recipe, data, output, folder, command=the_command(), device=device, progress=report)


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"the rates {text!r} are no numbers; give them as 0.25,0.5,1") from None


def _as_data(frozen: FrozenCodec, output: Path) -> dict[str, Any]:
    rates = [
        {"step": rate.step, "bits_per_position": rate.bits, "psnr_db": rate.psnr} for rate in frozen.rates
    ]
    return {"codec": str(output), "identity": frozen.identity, "rates": rates}


def _say(frozen: FrozenCodec, output: Path, as_json: bool) -> None:
    if as_json:
        echo_json(_as_data(frozen, output))
        return
    rows = [["rate", "step", "bits a pixel", "PSNR of what was kept apart"]]
    for number, rate in enumerate(frozen.rates):
        rows.append([str(number), f"{rate.step:.3g}", f"{rate.bits:.3f}", f"{rate.psnr:.2f} dB"])
    click.echo(columns(rows, right=(0, 1, 2, 3)))
    click.echo(
        f"{output}: {output.stat().st_size / 1e6:.1f} MB; edgepress build {output} --target … compiles it"
    )


walloc, liveaction = _command("walloc"), _command("liveaction")
