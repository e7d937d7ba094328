"""A classifier to judge decoded pictures by: does it still see what it saw in the original?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from edgepress import zoo
from edgepress.build import build
from edgepress.errors import MissingExtraError, UsageError
from edgepress.evaluate.picture_codec import Picture
from edgepress.recipe import Recipe
from edgepress.runtimes.session import Session, load

Judge = TypeVar("Judge", bound="Classifier")
NONE = "none"
_NEEDS = (("torch", "torch"), ("onnx", "onnx"), ("efficientnet_lite_pytorch", "efficientnet-lite-pytorch"))


class Classifier:
    """A bundle that gives class scores.

    Args:
        session: of the bundle.
        about: what it is, in words.

    Raises:
        UsageError: it gives no class scores, or takes something else than a picture.
    """

    def __init__(self, session: Session, about: str) -> None:
        kinds = [kind.kind for kind in session.part.prepare.values()]
        if kinds != ["image"] or "scores" not in [kind.kind for kind in session.part.meaning.values()]:
            raise UsageError(
                f"{about} is no classifier of pictures; give a bundle that takes one and scores classes"
            )
        self.about = about
        self.session = session

    def label(self, picture: Picture) -> int:
        """The index of the most probable class."""
        return self.session.run(picture, 1).labels[0].index


@contextmanager
def open_classifier(name: str) -> Iterator[Classifier]:
    """A classifier by name; see :func:`open_judge`."""
    with open_judge(name, Classifier) as judge:
        yield judge


@contextmanager
def open_judge(name: str, kind: Callable[[Session, str], Judge]) -> Iterator[Judge]:
    """A classifier by name, of a kind.

    Args:
        name: of the zoo, which is built for this machine as a float network (kept in the cache, a quarter of a minute
            the first time), or the path of a bundle.
        kind: what to make of the loaded session and of what it is, in words.

    Raises:
        MissingExtraError: the zoo's network cannot be built without the extra ``build``.
        EdgepressError: the bundle cannot be loaded or is no classifier.
    """
    if name not in zoo.names():
        with load(name, threads=1) as session:
            yield kind(session, f"{Path(name).name}, engine {session.engine_name}")
        return
    for module, package in _NEEDS:
        if find_spec(module) is None:
            raise MissingExtraError(f"the classifier {name}", package, "build")
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "classifier.edge"
        build(Recipe(name, method="none", engines=("ort",), output=str(bundle), golden=1))
        with load(bundle, threads=1) as session:
            yield kind(session, f"{name}, float, ONNX Runtime")
