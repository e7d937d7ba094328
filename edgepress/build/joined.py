"""What a build does beside its networks where these belong together: for codecs, for students, and for one alone.

Each kind of model of several parts is one implementation of :class:`Joined`; the steps ask it, and know no kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgepress.codec_source import CodecSource
from edgepress.errors import UsageError
from edgepress.recipe import Recipe
from edgepress.samples import Feed
from edgepress.source import Source

if TYPE_CHECKING:
    from edgepress.build.assemble import Finished
    from edgepress.build.job import Job
    from edgepress.build.sending import Sending

Array = np.ndarray[Any, Any]
Sent = Callable[[Feed], list[Array]]


@dataclass(frozen=True)
class Shared:
    """What the bundle holds beside networks.

    Attributes:
        tables: by name; every part that is joined names them all.
        method: what the manifest says of the method beside what the parts' own methods say.
    """

    tables: Mapping[str, bytes]
    method: Mapping[str, Any]


class Joined(Protocol):
    """The join of a model's networks.

    Attributes:
        room: the folder of the bundle that holds the tables of all parts.
        any_size: whether graphs are to take any size where they can.
        step: the name of the step that checks the whole; empty where there is none.
    """

    @property
    def room(self) -> str: ...
    @property
    def any_size(self) -> bool: ...
    @property
    def step(self) -> str: ...

    def fitting(self, recipe: Recipe, source: Source) -> Recipe:
        """The recipe as this kind of model takes it.

        Raises:
            UsageError: it asks for what is not done to it.
        """
        ...

    def recipe_of(self, part: str, recipe: Recipe) -> Recipe:
        """The recipe for one of the parts."""
        ...

    def has_coder(self, part: str) -> bool:
        """Whether a part's library holds the entropy coder."""
        ...

    def sending(self, part: str) -> Sending | None:
        """What a part's library sends by itself; None where it makes no streams."""
        ...

    def made_from(self, part: str) -> str:
        """The part from whose examples a part's own are made; empty where they are made from files."""
        ...

    def board_of(self, part: str) -> str:
        """The part whose board a part is built for where none is named; empty where one must be named."""
        ...

    def examples(self, part: str, taken: list[Feed]) -> list[Feed]:
        """A part's examples, from those of the part that they are made from."""
        ...

    def sent(self, part: str) -> Sent | None:
        """What gives the integers that are sent, of a part's outputs, at each rate that counts; None where it is not
        this part that sends."""
        ...

    def shared(self, job: Job, finished: Mapping[str, Finished]) -> Shared:
        """What the parts share, once they are known to give together what torch gives.

        Raises:
            CheckError: they do not.
        """
        ...


class Alone:
    """A network that is joined to no other."""

    room = step = ""
    any_size = False

    def fitting(self, recipe: Recipe, source: Source) -> Recipe:
        """See :class:`Joined`, as for all that follow."""
        if recipe.tile:
            raise UsageError(f"{source.name} is no codec, and only codecs have tiles; leave --tile out")
        if recipe.fallback:
            raise UsageError(
                f"{source.name} is no student, and only a student's device needs a fallback; leave --fallback out"
            )
        refuse_options(recipe)
        return recipe

    def recipe_of(self, part: str, recipe: Recipe) -> Recipe:
        return recipe

    def has_coder(self, part: str) -> bool:
        return False

    def sending(self, part: str) -> Sending | None:
        return None

    def made_from(self, part: str) -> str:
        return ""

    def board_of(self, part: str) -> str:
        return ""

    def examples(self, part: str, taken: list[Feed]) -> list[Feed]:
        return taken

    def sent(self, part: str) -> Sent | None:
        return None

    def shared(self, job: Job, finished: Mapping[str, Finished]) -> Shared:
        return Shared({}, {})


def joined_by(source: Source) -> Joined:
    """What joins a source's networks, or, for the source of a part, what joins it to others."""
    if source.joined is None:
        return Alone()
    if isinstance(source.joined, CodecSource):
        from edgepress.build.codec import JoinedCodec

        return JoinedCodec(source.joined)
    from edgepress.build.split import JoinedSplit

    return JoinedSplit(source.joined)


def refuse_options(recipe: Recipe) -> None:
    """Options need to know of which method they are."""
    if recipe.options and recipe.method == "auto":
        raise UsageError(
            "options need a method by name, not auto; write for example method = 'int8' in the recipe"
        )


def refuse_described(recipe: Recipe, what: str) -> None:
    """Refuse a recipe that says of inputs and outputs what the model says itself.

    Args:
        what: the model and its kind, for the message.
    """
    for key, given in (("--input", recipe.inputs), ("outputs", recipe.outputs), ("--labels", recipe.labels)):
        if given:
            raise UsageError(f"{what}, which says itself what it takes and gives; leave {key} out")
