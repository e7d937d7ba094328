"""A teacher: the classifier whose answers on originals are what a split network's are held against."""

from __future__ import annotations

import dataclasses

from edgepress.errors import UsageError
from edgepress.evaluate.bundle import scores_of
from edgepress.evaluate.classifier import Classifier
from edgepress.evaluate.picture_codec import Picture
from edgepress.inputs import ImageInput, prepare
from edgepress.runtimes.session import Session
from edgepress.tensor import TensorSpec


class Teacher(Classifier):
    """A classifier that also gives the pixels that it looks at.

    Attributes:
        classes: how many there are.
        class_names: of them, where the bundle has names.
        kind: how its input is made.
        rows, columns: of what it looks at.

    Raises:
        UsageError: it gives no class scores, or takes something else than one colour picture.
    """

    def __init__(self, session: Session, about: str) -> None:
        super().__init__(session, about)
        self._tensor = session.part.inputs[0]
        kind = session.part.prepare[self._tensor.name]
        if not isinstance(kind, ImageInput) or kind.colour == "L" or len(self._tensor.shape) != 4:
            raise UsageError(f"{about} takes no colour pictures; name another --teacher")
        self.kind = kind
        self.rows, self.columns = self._tensor.shape[2:] if kind.layout == "NCHW" else self._tensor.shape[1:3]
        _, self.classes, self.class_names = scores_of(session)

    def crop(self, picture: Picture) -> Picture:
        """The pixels that it looks at: cut and resized as its input kind says, uint8 ``[rows, columns, 3]``."""
        return crop(self.kind, picture, self.rows, self.columns)

    def label_of_crop(self, crop: Picture) -> int:
        """The index of the most probable class of pixels that :meth:`crop` gave, or what became of them."""
        tensor = prepare(as_it_is(self.kind), crop, self._tensor)
        return self.session.run(tensor, 1).labels[0].index


def crop(kind: ImageInput, picture: Picture, rows: int, columns: int) -> Picture:
    """The pixels that a network of this input kind looks at, uint8 ``[rows, columns, 3]``."""
    plain = dataclasses.replace(kind, mean=(0.0,), std=(1.0,), layout="NHWC", colour="RGB")
    made: Picture = prepare(plain, picture, TensorSpec("pixels", (1, rows, columns, 3), "uint8"))[0]
    return made


def as_it_is(kind: ImageInput) -> ImageInput:
    """The input kind for pictures that were cut already."""
    return dataclasses.replace(kind, crop=1.0, fit="stretch")
