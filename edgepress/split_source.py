"""A frozen student as something to build: a device's half, the server's heads, and the record of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgepress.coding.split import DEVICE, Split
from edgepress.inputs import ArrayInput, InputKind
from edgepress.tensor import TensorSpec

if TYPE_CHECKING:
    from edgepress.nn.student.frozen import FrozenStudent, Teacher

LATENTS = "latents"  # what the device's half gives, and what the heads take


@dataclass(frozen=True)
class SplitSource:
    """What a build needs of a student.

    Attributes:
        frozen: gives the student; called only when it must be exported or checked.
        description: what the bundle will say of it.
        teachers: of each head, by part.
    """

    frozen: Callable[[], FrozenStudent]
    description: Split
    teachers: dict[str, Teacher]

    @property
    def parts(self) -> tuple[str, ...]:
        """The device's half and the server's heads."""
        return (DEVICE, *self.heads)

    @property
    def codes_key(self) -> str:
        """Changes when the heads' examples do."""
        return self.description.identity

    @property
    def heads(self) -> tuple[str, ...]:
        """The server's parts."""
        return self.description.heads

    def inputs(self, part: str) -> tuple[TensorSpec, ...]:
        """What a part takes."""
        split = self.description
        if part == DEVICE:
            return (self.teachers[self.heads[0]].input,)
        return (TensorSpec(LATENTS, (1, split.latents + 1, split.rows, split.columns)),)

    def prepare(self, part: str) -> dict[str, InputKind]:
        """How what a part takes is made of a file."""
        if part == DEVICE:
            first = self.teachers[self.heads[0]]
            return {first.input.name: first.prepare}
        return {LATENTS: ArrayInput()}

    def outputs(self, part: str) -> tuple[str, ...]:
        """What a part gives."""
        return (LATENTS if part == DEVICE else self.teachers[part].output,)

    def labels(self, part: str) -> tuple[str, ...]:
        """Class names of what a part gives; empty where it gives no class scores."""
        return () if part == DEVICE else self.teachers[part].labels


def split_source(frozen: FrozenStudent) -> SplitSource:
    """A student to build."""
    teachers = {part: head.teacher for part, head in frozen.heads.items()}
    return SplitSource(lambda: frozen, frozen.description(), teachers)
