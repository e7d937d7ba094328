"""``edgepress train head``: a second task on a student's stream."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from edgepress.cli.table import columns, echo_json
from edgepress.cli.teacher import teacher_options, teacher_source
from edgepress.cli.training import set_up, steps_told, the_command, train_until_stopped
from edgepress.errors import UsageError


@click.command()
@click.argument("student", type=click.Path(path_type=Path))
@click.argument("teacher")
@click.option("--name", required=True, help="Of the head: its part in the bundle.")
@click.option(
    "--data", required=True, multiple=True, type=click.Path(path_type=Path), help="A folder; may be repeated."
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The student's file with the head."
)
@click.option(
    "--run", "folder", type=click.Path(path_type=Path), help="Where checkpoints go; OUTPUT.run by default."
)
@click.option(
    "--cut",
    default="",
    metavar="LAYER",
    help="The decoder gives this layer's map; TEACHER's input by default.",
)
@click.option("--match", metavar="LAYERS", help="Whose maps are matched; the last of each size by default.")
@click.option("--width", type=int, help="Channels of the decoder; the student's by default.")
@click.option("--blocks", type=int, help="Residual blocks of the decoder; the student's by default.")
@click.option("--answers", type=float, help="What counts the divergence of answers beside maps.")
@click.option("--steps", type=click.IntRange(1), help="Batches in all.")
@click.option("--batch", type=click.IntRange(1), help="Pictures in a batch.")
@click.option("--learning-rate", "rate", type=float, help="The highest.")
@click.option("--keep", metavar="NUMBER|FILE", help="Pictures kept apart: how many, or a list.")
@click.option("--seed", type=click.IntRange(0), help="Of weights, order and cut-outs.")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), help="Of products.")
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    metavar="MODEL",
    help="What STUDENT was distilled from, where that is not in the zoo.",
)
@teacher_options
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda …")
@click.option("--threads", type=click.IntRange(1, 256), help="How many threads to train on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context, /, student: Path, teacher: str, data: tuple[Path, ...], output: Path, folder: Path | None,
    as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Add a head to the file STUDENT: the rest of another network, TEACHER, behind a decoder of its own.

    The device and its streams stay as they are; the server answers two questions about one stream.
    """
    run = folder or output.with_name(f"{output.name}.run")
    given = {name: value for name, value in given.items() if value is not None}

    def work() -> None:
        _train(student, teacher, list(data), output, run, as_json, given)

    train_until_stopped(ctx, run, work)


def _train(
    student: Path,
    teacher: str,
    data: list[Path],
    output: Path,
    folder: Path,
    as_json: bool,
    given: dict[str, Any],
) -> None:
    device, teachers = given.pop("device"), given.pop("teachers")
    set_up(given.pop("threads", None), device)
    from edgepress.source import teacher_finder
    from edgepress.training.student_head import PLAN, HeadRecipe, train_head

    source = teacher_source(teacher, given)
    try:
        plan = dataclasses.replace(
            PLAN,
            **{
                name: given.pop(name)
                for name in ("steps", "batch", "rate", "seed", "precision")
                if name in given
            },
        )
    except ValueError as error:
        raise UsageError(f"{error}") from None
    form: dict[str, int] = {name: given.pop(name) for name in ("width", "blocks") if name in given}
    if "match" in given:
        given["match"] = tuple(given["match"].split(","))
    if "keep" in given:
        given["keep"] = int(given["keep"]) if given["keep"].isdigit() else Path(given["keep"])
    given["layer"] = given.pop("cut")
    recipe = HeadRecipe(student, given.pop("name"), source, plan=plan, form=form, **given)
    with steps_told() as report:
        grown = train_head(
            recipe, data, output, folder, command=the_command(), device=device,
            find_teacher=teacher_finder(teachers), progress=report,
        )  # fmt: skip
    told = grown.facts[f"head {recipe.name}"]["rates"]
    if as_json:
        echo_json({"student": str(output), "identity": grown.identity, "head": recipe.name, "rates": told})
        return
    rows = [["rate", "divergence", "agreement"]]
    rows += [[str(at), f"{one['divergence']:.3f}", f"{one['agreement']:.1%}"] for at, one in enumerate(told)]
    click.echo(columns(rows, right=(0, 1, 2)))
    click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB, heads {', '.join(grown.heads)}")
