"""Networks that edgepress knows by name: how to make each, what it reads and what its outputs mean."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepress.errors import SourceError
from edgepress.inputs import ImageInput, InputKind
from edgepress.records import near
from edgepress.tensor import TensorSpec

DEFAULT = "efficientnet-lite0"


@dataclass(frozen=True)
class ZooEntry:
    """A network of the zoo.

    Attributes:
        name: what ``edgepress build`` takes.
        module: gives the torch module with its weights, in evaluation mode; called only when it must be exported.
        digest: names weights and code without loading them.
        inputs, prepare, outputs, labels: see :class:`edgepress.source.Source`.
        about: one sentence, with its terms.
        codec: gives a :class:`edgepress.nn.codec.FrozenCodec`, for codecs; what is said above of a network is empty.
        student: gives a :class:`edgepress.nn.student.frozen.FrozenStudent`, for students, alike.
    """

    name: str
    module: Callable[[], Any]
    digest: Callable[[], str]
    inputs: tuple[TensorSpec, ...]
    prepare: dict[str, InputKind]
    outputs: tuple[str, ...]
    labels: Path | None
    about: str
    codec: Callable[[], Any] | None = None
    student: Callable[[], Any] | None = None


def _efficientnet_lite0() -> ZooEntry:
    from edgepress.zoo import efficientnet_lite0

    return ZooEntry(
        name=DEFAULT,
        module=efficientnet_lite0.module,
        digest=efficientnet_lite0.digest,
        inputs=(TensorSpec("image", (1, 3, 224, 224), "float32", (-127 / 128, 1.0)),),
        prepare={"image": ImageInput(mean=(127.0,), std=(128.0,), crop=224 / 256, resample="bicubic")},
        outputs=("scores",),
        labels=Path(__file__).with_name("imagenet-labels.txt"),
        about="EfficientNet-Lite0 for the 1000 classes of ImageNet, 4.65 M parameters (Apache-2.0)",
    )


def _trained(name: str, is_codec: bool) -> ZooEntry:
    from edgepress.zoo.trained import TrainedFile

    file = TrainedFile(name)
    made = {"codec" if is_codec else "student": file.load}
    module = (lambda: file.load().module) if is_codec else (lambda: file.load().encoder)
    return ZooEntry(name, module, file.digest, (), {}, (), None, file.about, **made)


_ENTRIES: dict[str, Callable[[], ZooEntry]] = {
    DEFAULT: _efficientnet_lite0,
    **{name: functools.partial(_trained, name, True) for name in ("liveaction-f16c48", "walloc-f8c12")},
    "efficientnet-lite0-student": functools.partial(_trained, "efficientnet-lite0-student", False),
}


def names() -> list[str]:
    """The names of the zoo, sorted."""
    return sorted(_ENTRIES)


def entry(name: str) -> ZooEntry:
    """The network of that name.

    Raises:
        SourceError: no network has that name; the message names the nearest.
    """
    if name not in _ENTRIES:
        raise SourceError(
            f"the zoo has no network {name!r}{near(name, _ENTRIES)}; it has {', '.join(names())}"
        )
    return _ENTRIES[name]()
