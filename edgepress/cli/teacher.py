"""A network that teaches, as commands take it: a name of the zoo, or torch code with what it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgepress.errors import UsageError

if TYPE_CHECKING:
    from edgepress.source import Source

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--image", is_flag=True, help="TEACHER is torch code that takes a picture."),
    click.option(
        "--input", "spec", metavar="NAME:SHAPE", help="What torch code takes, such as image:1x3x224x224."
    ),
    click.option("--mean", help="What is subtracted from its pixels (0 to 255)."),
    click.option("--std", help="What they are divided by then."),
    click.option("--crop", type=float, help="The share of the short side that its centre crop keeps."),
)


def teacher_options(command: Command) -> Command:
    """The options that say how torch code takes its picture."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def teacher_source(teacher: str, given: dict[str, Any]) -> Source:
    """The source that TEACHER means; takes the words of :func:`teacher_options` out of what was given.

    Raises:
        UsageError: one of them makes no sense.
        SourceError: there is no such network.
    """
    from edgepress.inputs import ImageInput
    from edgepress.source import resolve
    from edgepress.tensor import TensorSpec

    is_picture, text = given.pop("image"), given.pop("spec", None)
    words = {name: given.pop(name) for name in ("mean", "std", "crop") if name in given}
    inputs: tuple[TensorSpec, ...] = ()
    if text is not None:
        name, _, shape = text.partition(":")
        try:
            inputs = (TensorSpec(name, tuple(int(size) for size in shape.split("x"))),)
        except ValueError:
            raise UsageError(
                f"--input {text!r} is no name and shape; give them as image:1x3x224x224"
            ) from None
    source = resolve(teacher, inputs)
    if not is_picture:
        return source
    for name in ("mean", "std"):
        if name in words:
            words[name] = numbers(words[name], f"--{name}")
    try:
        kind = ImageInput(**words)
    except ValueError as error:
        raise UsageError(f"{error}") from None
    return dataclasses.replace(source, prepare={spec.name: kind for spec in source.inputs})


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Numbers with commas.

    Raises:
        UsageError: there is something else.
    """
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text!r} holds what is no number; give numbers with commas") from None
