"""A student's training from the words of a command, or of a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from edgepress.errors import UsageError
from edgepress.source import Source
from edgepress.training.student_recipe import StudentRecipe

_FORM = ("latents", "levels", "hidden", "norm", "width", "blocks")
_PLAN = ("batch", "seed", "precision")  # of both stages
_SAME = ("match", "answers", "tuned", "keep", "start")


def recipe_of(teacher: Source, given: Mapping[str, Any]) -> StudentRecipe:
    """The training that options ask for; those that are not given have their usual values.

    Args:
        teacher: the network to distil from.
        given: as the options of ``edgepress train student`` are called, in Python's own types: ``cut``, ``beta``,
            ``steps``, ``rate``, ``answer_steps``, ``answer_rate`` and so on.

    Raises:
        UsageError: a value is out of range.
    """
    usual = StudentRecipe(teacher)
    assert usual.answering is not None
    plan = {name: given[name] for name in _PLAN if name in given}
    first = {name: given[name] for name in ("steps", "rate") if name in given}
    later = {name: given[f"answer_{name}"] for name in ("steps", "rate") if f"answer_{name}" in given}
    try:
        maps = dataclasses.replace(usual.maps, **plan, **first)
        second = None if later.get("steps") == 0 else dataclasses.replace(usual.answering, **plan, **later)
    except ValueError as error:
        raise UsageError(f"{error}") from None
    form = {name: given[name] for name in _FORM if name in given}
    rest = {name: given[name] for name in _SAME if name in given}
    return StudentRecipe(
        teacher, given.get("cut", ""), form=form, betas=given.get("beta", usual.betas), maps=maps, answering=second,
        **rest,
    )  # fmt: skip
