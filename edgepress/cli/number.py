"""Options that are figures: a range lets NaN through, since no comparison with it holds."""

from __future__ import annotations

import math

import click


def a_number(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    """An option's callback.

    Raises:
        click.BadParameter: the figure is infinite or no number.
    """
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.")
    return value
