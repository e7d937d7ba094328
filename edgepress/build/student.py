"""The road of ``--method entropic-student`` from a whole network: the one place where a build would train a student."""

from __future__ import annotations

from edgepress.errors import UsageError
from edgepress.methods.entropic_student import NAME
from edgepress.recipe import Recipe
from edgepress.source import Source
from edgepress.split_source import SplitSource


def student_of(source: Source, recipe: Recipe) -> Source:
    """The source to build: a student as it is, and for any other model that the method splits, its student.

    Raises:
        UsageError: the model is no student, and training one is a command of its own.
    """
    if recipe.method != NAME or isinstance(source.joined, SplitSource):
        return source
    raise UsageError(
        f"{source.name} is no student, and a build trains none; distil one with: edgepress train student "
        f"{recipe.model} --data DIR -o student.safetensors, and build that file"
    )
