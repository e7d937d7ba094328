"""``edgepress build``: a model and a board's name in, one bundle out."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgepress.bundle import open_bundle
from edgepress.cli.draw import KEPT, Drawing
from edgepress.cli.interruptible import run_interruptible
from edgepress.cli.main import INTERRUPTED, guarded
from edgepress.cli.split_page import split_in, split_page
from edgepress.cli.table import echo_json
from edgepress.errors import UsageError
from edgepress.inputs import AudioInput, ImageInput, InputKind, TextInput
from edgepress.recipe import InputRecipe, Recipe, read_recipe
from edgepress.records import encode
from edgepress.tensor import TensorSpec

_PICTURE_WORDS = ("crop", "layout", "colour", "fit", "resample")


@click.command(short_help="Press a model for a board and write one bundle.")
@click.argument("model", required=False)
@click.option(
    "--target",
    help="A board (edgepress targets lists them) or a path to its .toml; host by default. For a model of several "
    "parts also PART=BOARD with commas.",
)
@click.option(
    "--weights",
    type=click.Path(),
    help="A checkpoint for torch code: a .safetensors file, or a folder as Hugging Face's libraries write it.",
)
@click.option("-o", "--output", type=click.Path(), help="The bundle to write; NAME-TARGET.edge by default.")
@click.option("--method", help="auto (default), none, int8, ternary, or the name of another method.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the method, as under [options] in a recipe: steps=4000.",
)
@click.option(
    "--data",
    type=click.Path(),
    help="A folder of examples to calibrate, check or train with; to train also file.py:callable or digits.",
)
@click.option("--samples", type=click.IntRange(min=1), help="How many examples are used, at most.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME:SHAPE:DTYPE",
    help="An input, where the model does not say: image:1x3x224x224.",
)
@click.option(
    "--image",
    is_flag=True,
    help="The input is a picture; --mean, --std, --crop and --layout say how it is made.",
)
@click.option(
    "--mean", help="What is subtracted from pixels (0 to 255): one number, or one a channel with commas."
)
@click.option("--std", help="What pixels are divided by, after --mean.")
@click.option(
    "--crop",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help="The share of the short side that the centre crop keeps.",
)
@click.option("--layout", type=click.Choice(["NCHW", "NHWC"]), help="Where a picture's channels stand.")
@click.option("--colour", type=click.Choice(["RGB", "BGR", "L"]), help="Channels of a picture; L is grey.")
@click.option("--fit", type=click.Choice(["crop", "stretch", "pad"]), help="How a picture takes its shape.")
@click.option(
    "--resample",
    type=click.Choice(["nearest", "bilinear", "bicubic", "lanczos"]),
    help="The filter that a picture is resized with.",
)
@click.option(
    "--audio",
    "rate",
    type=click.IntRange(min=1),
    metavar="HERTZ",
    help="The input is a recording of this sampling rate.",
)
@click.option("--text", is_flag=True, help="The input is text, as UTF-8 bytes.")
@click.option(
    "--tile",
    type=click.IntRange(min=1),
    help="Samples of an axis that a codec's networks are compiled for; 512 of a picture's by default.",
)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    metavar="MODEL",
    help="What a student was distilled from, where the zoo does not have it.",
)
@click.option(
    "--fallback",
    metavar="MODEL",
    help="A whole network for a student's device, used where no server answers; as MODEL.",
)
@click.option("--labels", type=click.Path(), help="A file with one class name a line.")
@click.option(
    "--engines", help="Compilers to use, with commas: aot,ort; all that the target takes by default."
)
@click.option("--on", help="Choose between engines by measuring on this device: local.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print what was built as JSON.")
@click.pass_context
def command(ctx: click.Context, /, model: str | None, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Press MODEL for a board and write one bundle.

    MODEL is a name of the zoo, a path.onnx, package.module:callable or file.py:callable for torch code, or a
    recipe.toml (edgepress init writes one). With no model, EfficientNet-Lite0 is pressed.
    """
    if model == "" or given["output"] == "":
        raise UsageError("MODEL or -o is empty; is a variable of your shell not set?")
    recipe = _with_options(
        read_recipe(Path(model)) if model and model.endswith(".toml") else Recipe(), model, given
    )
    if dry_run:
        from edgepress.build import plan

        output, steps = plan(recipe)
        if as_json:
            echo_json({"bundle": str(output), "steps": [dataclasses.asdict(step) for step in steps]})
            return
        for number, step in enumerate(steps, 1):
            click.echo(f"{number:3}. {step.name:12} {step.about}{' (in the cache)' if step.cached else ''}")
        click.echo(f"would write {output}")
        return
    code, kept = run_interruptible(lambda tell: guarded(lambda: _build(recipe, as_json, tell), bool(ctx.obj)))
    if kept is not None:
        _sweep(recipe)
        click.echo(f"\nedgepress: stopped; {_told(kept)}; the next build goes on from there", err=True)
    ctx.exit(code)


def _told(lines: list[str]) -> str:
    """What a stopped build leaves, of what it told."""
    finished = [line for line in lines if not line.startswith(KEPT)]
    said = f"kept the finished steps {', '.join(finished)}" if finished else "no step was finished"
    if lines and lines[-1].startswith(KEPT):
        said += f", and the training up to {lines[-1].removeprefix(KEPT).partition(',')[0]}"
    return said


def _build(recipe: Recipe, as_json: bool, tell: Callable[[str], None]) -> None:
    from edgepress.build import build

    drawing = Drawing(quiet=as_json, tell=tell)
    try:
        built = build(recipe, drawing)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None  # the parent says it
    finally:
        drawing.clear()
    parts = built.manifest.parts
    part = next(iter(parts.values()))
    several = {
        name: {"target": one.target, "engine": one.engine, "why": one.why} for name, one in parts.items()
    }
    size = built.path.stat().st_size
    with open_bundle(built.path, verify=False) as bundle:
        split, page = split_in(bundle), split_page(bundle)
    if as_json:
        echo_json(
            {
                "bundle": str(built.path), "bytes": size, "seconds": built.seconds,
                "engine": part.engine, "why": part.why,
                "method": built.manifest.method, "ran": built.ran, "cached": built.reused,
                **({"parts": several} if len(parts) > 1 else {}),
                **({"split": encode(split)} if split is not None else {}),
            }
        )  # fmt: skip
        return
    for name, one in parts.items():
        click.echo(f"engine{f' of {name}' if len(parts) > 1 else ''}: {one.why}")
    if page:
        click.echo(page)
    click.echo(f"wrote {built.path} ({size / 1e6:.1f} MB) in {built.seconds:.1f} s")


def _sweep(recipe: Recipe) -> None:
    """Remove what the stopped build was in the middle of."""
    from edgepress.build.cache import StepCache
    from edgepress.bundle.writer import remove_partials

    with StepCache.default().building():
        pass  # taking the cache removes what was unfinished
    if recipe.output:
        remove_partials(Path(recipe.output))


def _with_options(recipe: Recipe, model: str | None, given: dict[str, Any]) -> Recipe:
    """The recipe with what the command line says; the command line wins."""
    changes: dict[str, Any] = {}
    if model and not model.endswith(".toml"):
        changes["model"] = model
    for name in (
        "weights",
        "target",
        "output",
        "method",
        "data",
        "samples",
        "labels",
        "fallback",
        "tile",
        "on",
    ):
        if given[name] is not None:
            changes[name] = given[name]
    if given["teachers"]:
        changes["teachers"] = given["teachers"]
    if given["options"]:
        changes["options"] = {**recipe.options, **dict(map(read_option, given["options"]))}
    if given["engines"] is not None:
        changes["engines"] = tuple(name.strip() for name in given["engines"].split(",") if name.strip())
    inputs = dict(recipe.inputs)
    for text in given["inputs"]:
        spec = TensorSpec.parse(text)
        known = inputs.get(spec.name, InputRecipe())
        inputs[spec.name] = dataclasses.replace(known, shape=spec.shape, dtype=spec.dtype)
    kind = _kind(given)
    if kind is not None:
        if not inputs:
            raise UsageError(
                "say which input the picture, recording or text is for: add --input name:shape:dtype"
            )
        first = next(iter(inputs))
        inputs[first] = dataclasses.replace(inputs[first], prepare=kind)
    if inputs:
        changes["inputs"] = inputs
    try:
        return dataclasses.replace(recipe, **changes)
    except ValueError as error:
        raise UsageError(str(error)) from None


def read_option(text: str) -> tuple[str, Any]:
    """``key=value`` with the value as TOML writes it; what is no TOML is a text."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--option {text!r} is no KEY=VALUE, such as steps=4000")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key.strip(), value.strip()


def _kind(given: dict[str, Any]) -> InputKind | None:
    """How the first input is made, by the options; None where they say nothing."""
    pictures = [name for name in ("image", "mean", "std", *_PICTURE_WORDS) if given[name]]
    kinds = [
        name
        for name, said in (("a picture", pictures), ("a recording", given["rate"]), ("text", given["text"]))
        if said
    ]
    if len(kinds) > 1:
        raise UsageError(
            f"the input cannot be {' and '.join(kinds)} at once; choose one, or write a recipe for several inputs"
        )
    if given["rate"]:
        return AudioInput(rate=given["rate"])
    if given["text"]:
        return TextInput()
    if not pictures:
        return None
    words: dict[str, Any] = {
        "mean": _numbers(given["mean"], "--mean", (0.0,)),
        "std": _numbers(given["std"], "--std", (1.0,)),
    }
    try:
        return ImageInput(**words, **{name: given[name] for name in _PICTURE_WORDS if given[name]})
    except ValueError as error:
        raise UsageError(f"the picture cannot be made so: {error}") from None


def _numbers(text: str | None, option: str, default: tuple[float, ...]) -> tuple[float, ...]:
    if text is None:
        return default
    try:
        numbers = tuple(float(item) for item in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text!r} is not numbers with commas, such as 123.7,116.3,103.5") from None
    if len(numbers) not in (1, 3) or (option == "--std" and 0.0 in numbers):
        raise UsageError(
            f"{option} takes one number or three{', none of them 0' if option == '--std' else ''}"
        )
    return numbers
