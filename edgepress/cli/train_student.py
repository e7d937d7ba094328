"""``edgepress train student``: an encoder for the device and a decoder for the server, from a network that teaches."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgepress.cli.table import columns, echo_json
from edgepress.cli.teacher import numbers, teacher_options, teacher_source
from edgepress.cli.training import set_up, steps_told, the_command, train_until_stopped

if TYPE_CHECKING:
    from edgepress.nn.student.frozen import FrozenStudent


@click.command()
@click.argument("teacher")
@click.option(
    "--data", required=True, multiple=True, type=click.Path(path_type=Path), help="A folder; may be repeated."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("student.safetensors"),
    show_default=True,
    help="The student's file.",
)
@click.option(
    "--run", "folder", type=click.Path(path_type=Path), help="Where checkpoints go; OUTPUT.run by default."
)
@click.option(
    "--cut",
    default="",
    metavar="LAYER",
    help="The decoder gives this layer's map; the teacher's input by default.",
)
@click.option("--match", metavar="LAYERS", help="Whose maps are matched; the last of each size by default.")
@click.option("--beta", help="The price of a bit a pixel at each rate, such as 4,1,0.25.")
@click.option("--latents", type=int, help="Channels of what is sent.")
@click.option(
    "--levels", type=int, help="Splits of the wavelet packet: a latent stands for 2^levels pixels an axis."
)
@click.option("--hidden", type=int, help="Channels of the encoder's nonlinear path; 0 for a linear encoder.")
@click.option("--norm", type=click.Choice(["relu", "gdn"]), help="In that path; relu by default.")
@click.option("--width", type=int, help="Channels of the decoder.")
@click.option("--blocks", type=int, help="Residual blocks of the decoder.")
@click.option(
    "--answers", type=float, help="What counts the divergence of answers beside maps in the first stage."
)
@click.option("--steps", type=click.IntRange(1), help="Batches of the first stage.")
@click.option("--learning-rate", "rate", type=float, help="The highest of the first stage.")
@click.option("--answer-steps", type=click.IntRange(0), help="Batches of the second stage; 0 leaves it out.")
@click.option("--answer-rate", type=float, help="The highest learning rate of the second stage.")
@click.option(
    "--tune",
    "tuned",
    type=click.Choice(["decoder", "norms", "all"]),
    help="What the second stage trains: the decoder, also the teacher's norms and biases (default), or all behind it.",
)
@click.option("--batch", type=click.IntRange(1), help="Pictures in a batch.")
@click.option(
    "--keep",
    metavar="NUMBER|FILE",
    help="Pictures kept apart: how many, or a list.",
)
@click.option(
    "--start", type=click.Path(path_type=Path), help="A walloc codec's or a student's file to begin with."
)
@click.option("--seed", type=click.IntRange(0), help="Of weights, order and cut-outs.")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), help="Of products.")
@teacher_options
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda …")
@click.option("--threads", type=click.IntRange(1, 256), help="How many threads to train on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context, /, teacher: str, data: tuple[Path, ...], output: Path, folder: Path | None, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Train a student of TEACHER on what the folders hold, and write one file.

    TEACHER is a network of the zoo, or file.py:callable. First the student learns to give the server the teacher's maps
    for few bits, then its server half learns the teacher's answers to what is really sent; no labels are needed. A
    training that was stopped goes on when the same command is given again. edgepress build takes the file.
    """
    run = folder or output.with_name(f"{output.name}.run")

    def work() -> None:
        _say(_train(teacher, list(data), output, run, given), output, as_json)

    train_until_stopped(ctx, run, work)


def _train(
    teacher: str, data: list[Path], output: Path, folder: Path, given: dict[str, Any]
) -> FrozenStudent:
    device = given.pop("device")
    set_up(given.pop("threads"), device)
    from edgepress.training.student_recipe import train_student

    recipe = _recipe(teacher, {name: value for name, value in given.items() if value is not None})
    with steps_told() as report:
        return train_student(
            recipe, data, output, folder, command=the_command(), device=device, progress=report
        )


def _recipe(teacher: str, given: dict[str, Any]) -> Any:
    from edgepress.training.student_options import recipe_of

    source = teacher_source(teacher, given)
    if "beta" in given:
        given["beta"] = numbers(given["beta"], "--beta")
    if "match" in given:
        given["match"] = tuple(given["match"].split(","))
    if "keep" in given:
        given["keep"] = int(given["keep"]) if given["keep"].isdigit() else Path(given["keep"])
    return recipe_of(source, given)


def _say(frozen: FrozenStudent, output: Path, as_json: bool) -> None:
    if as_json:
        rates = [dataclasses.asdict(rate) for rate in frozen.rates]
        echo_json(
            {"student": str(output), "identity": frozen.identity, "rates": rates, "macs": dict(frozen.macs)}
        )
        return
    rows = [["rate", "beta", "bytes", "agreement"]]
    for number, rate in enumerate(frozen.rates):
        agreement = "-" if rate.agreement is None else f"{rate.agreement:.1%}"
        rows.append([str(number), f"{rate.beta:g}", f"{rate.bytes:.0f}", agreement])
    click.echo(columns(rows, right=(0, 1, 2, 3)))
    macs = frozen.macs
    click.echo(
        f"device: {macs['device'] / 1e6:.1f} million multiply-adds; the teacher spends "
        f"{macs.get('replaced', 0.0) / 1e6:.1f} until its maps are as small, {macs['teacher'] / 1e6:.1f} in all"
    )
    if macs["device"] >= macs.get("replaced", macs["teacher"]):
        click.echo(
            "the device's half costs more than what it replaces: make it smaller with --hidden or --latents"
        )
    click.echo(
        f"{output}: {output.stat().st_size / 1e6:.1f} MB; edgepress build {output} --target device=…,server=… "
        "compiles it"
    )
