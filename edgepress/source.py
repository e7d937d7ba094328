"""What can be pressed: a network of the zoo, an ONNX file, a torch module that your own code makes, a codec, a student.

``resolve`` finds out which of these a text means, without loading torch where it need not.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgepress import zoo
from edgepress.codec_source import CodecSource, codec_source
from edgepress.coding.description import DECODER, ENCODER
from edgepress.coding.split import DEVICE
from edgepress.errors import MissingExtraError, SourceError
from edgepress.fingerprint import fingerprint
from edgepress.inputs import InputKind
from edgepress.records import near
from edgepress.split_source import SplitSource, split_source
from edgepress.tensor import TensorSpec
from edgepress.user_code import CALLED, beside, look_up, user_code


@dataclass(frozen=True)
class Source:
    """A model to press.

    Attributes:
        name: what it is called in file names and reports.
        kind: ``torch`` (``load`` gives a module) or ``onnx`` (``load`` gives a path).
        digest: changes when the model does.
        origin: where it came from, for the manifest; no path of this machine.
        load: gives the model.
        inputs: the tensors it takes, as far as they are known; an ONNX file says so itself.
        outputs: names for its outputs, in order; empty leaves them to the exporter.
        prepare: how each input is made, by tensor name.
        labels: class names for the first output; empty where it gives no class scores.
        parts: the networks that it is made of, by name; empty where it is one network, which ``load`` gives.
        joined: what is known of the codec, or of the student, whose networks the parts are; each of these parts has
            it too. None for any other model, and for a part that stands by itself.
    """

    name: str
    kind: Literal["torch", "onnx"]
    digest: str
    origin: dict[str, str]
    load: Callable[[], Any]
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[str, ...] = ()
    prepare: dict[str, InputKind] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    parts: dict[str, Source] = field(default_factory=dict)
    joined: CodecSource | SplitSource | None = None


def resolve(
    model: str,
    inputs: tuple[TensorSpec, ...] = (),
    weights: str = "",
    tile: int = 0,
    teachers: tuple[str, ...] = (),
) -> Source:
    """Find the model that a text means.

    Args:
        model: a name of the zoo, ``path.onnx``, ``package.module:callable`` or ``file.py:callable``; or the
            ``path.safetensors`` of a codec or of a student, as ``edgepress train`` writes it.
            The callable is a ``torch.nn.Module`` object, or a function or class that gives one when called; for a
            codec it is, or gives, an :class:`edgepress.nn.codec.FrozenCodec`, for a student an
            :class:`edgepress.nn.student.frozen.FrozenStudent`.
        inputs: the tensors that the model takes, where it cannot say so itself.
        weights: a checkpoint for torch code: a safetensors file, or a folder as Hugging Face's libraries write it.
        tile: samples of an axis that a codec's networks are compiled for; 0 takes a size that serves most boards.
        teachers: networks that a student's file may name as what it was distilled from; it finds those of the zoo.

    Raises:
        SourceError: there is no such model; the message says what was tried. Or the checkpoint does not fit it.
        MissingExtraError: the model needs a package that is not installed.
    """
    if weights and (model in zoo.names() or ":" not in model):
        raise SourceError(
            f"{model} has its weights with it; a checkpoint goes with torch code, file.py:callable"
        )
    if model in zoo.names():
        return _from_zoo(model, tile)
    if model.endswith(".onnx"):
        return _from_onnx(Path(model), inputs)
    if model.endswith(".safetensors") and Path(model).is_file():
        return _from_trained_file(Path(model), tile, teachers)
    if ":" in model:
        return _from_callable(model, inputs, weights, tile)
    if Path(model).is_dir():
        raise SourceError(
            f"{model} is a folder: a checkpoint holds weights and no network; give the network's code beside it, as "
            f"file.py:callable --weights {model}"
        )
    if Path(model).exists():
        raise SourceError(
            f"{model} is no model that can be read; give an .onnx file, or file.py:callable for torch code"
        )
    raise SourceError(
        f"there is no model {model!r}{near(model, zoo.names())}; give a name of the zoo ({', '.join(zoo.names())}), "
        "a path.onnx, or package.module:callable"
    )


def _from_zoo(name: str, tile: int) -> Source:
    entry = zoo.entry(name)
    origin = {"kind": "zoo", "name": name, "about": entry.about}
    if entry.codec is not None:
        return _from_codec(name, entry.codec(), origin, tile)
    if entry.student is not None:
        return student_source(name, entry.student(), origin)
    labels = tuple(entry.labels.read_text(encoding="utf-8").splitlines()) if entry.labels else ()
    return Source(
        name,
        "torch",
        entry.digest(),
        origin,
        entry.module,
        entry.inputs,
        entry.outputs,
        entry.prepare,
        labels,
    )


def _from_onnx(path: Path, inputs: tuple[TensorSpec, ...]) -> Source:
    if not path.is_file():
        raise SourceError(f"{path} does not exist; check the path")
    try:
        from edgepress.graph.external import external_files
    except ImportError:
        raise MissingExtraError("reading an ONNX file", "onnx", "build") from None
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(hashlib.sha256(content).digest())
        for name, place in external_files(content, path).items():
            with place.open("rb") as weights:
                digest.update(repr(name).encode() + hashlib.file_digest(weights, "sha256").digest())
    except OSError as error:
        raise SourceError(
            f"{error.filename or path} cannot be read ({error.strerror}); check that it is a file you may read"
        ) from None
    return Source(
        path.stem, "onnx", digest.hexdigest(), {"kind": "onnx", "name": path.name}, lambda: path, inputs
    )


def _from_codec(name: str, frozen: Any, origin: dict[str, str], tile: int) -> Source:
    """A frozen codec: a source of two networks."""
    codec = codec_source(frozen, tile)
    modules = {ENCODER: frozen.module.encoder, DECODER: frozen.module.decoder}

    def part(which: str) -> Source:
        return Source(
            name, "torch", f"{frozen.identity} {which}", origin, lambda: modules[which], codec.inputs(which),
            codec.outputs(which), codec.prepare(which), joined=codec,
        )  # fmt: skip

    parts = {which: part(which) for which in modules}
    return Source(name, "torch", frozen.identity, origin, lambda: frozen.module, parts=parts, joined=codec)


def student_source(name: str, frozen: Any, origin: dict[str, str]) -> Source:
    """A source of a frozen student's parts: the device's half and the server's heads.

    Args:
        name, origin: see :class:`Source`.
        frozen: an :class:`edgepress.nn.student.frozen.FrozenStudent`.
    """
    split = split_source(frozen)
    digests = {DEVICE: f"{frozen.identity} {DEVICE}"}
    digests |= {part: fingerprint(head.module, __name__) for part, head in frozen.heads.items()}
    modules = {DEVICE: frozen.encoder, **{part: head.module for part, head in frozen.heads.items()}}

    def part(which: str) -> Source:
        return Source(
            name, "torch", digests[which], origin, lambda: modules[which], split.inputs(which),
            split.outputs(which), split.prepare(which), split.labels(which), joined=split,
        )  # fmt: skip

    digest = hashlib.sha256(repr((sorted(digests.items()), split.description)).encode()).hexdigest()
    parts = {which: part(which) for which in split.parts}
    return Source(name, "torch", digest, origin, lambda: frozen.encoder, parts=parts, joined=split)


def _from_trained_file(path: Path, tile: int, teachers: tuple[str, ...]) -> Source:
    """What ``edgepress train`` wrote."""
    try:
        from edgepress.nn.codec.codec_file import is_codec_file, read_codec_file
        from edgepress.nn.student.student_file import is_student_file, read_student_file
    except ImportError:
        raise MissingExtraError("pressing a trained file", "torch", "build") from None
    name = path.stem.lower().replace("_", "-")
    if is_codec_file(path):
        return _from_codec(name, read_codec_file(path), {"kind": "codec", "name": path.name}, tile)
    if is_student_file(path):
        return student_source(
            name, read_student_file(path, teacher_finder(teachers)), {"kind": "student", "name": path.name}
        )
    raise SourceError(
        f"{path} holds weights and no network; give the network's code beside it, as file.py:callable --weights {path}"
    )


def teacher_finder(teachers: tuple[str, ...]) -> Callable[[Any], Any]:
    """What finds the teachers that a student's file names: among those that are given, then in the zoo.

    Args:
        teachers: names of the zoo, or ``file.py:callable``.
    """

    def find(wanted: Any) -> Any:
        from edgepress.nn.student.student_file import zoo_teacher

        for text in teachers:
            found = resolve(text, (wanted.input,))
            if found.digest == wanted.digest:
                return found.load()
        if teachers and wanted.name not in zoo.names():
            raise SourceError(
                f"the student was distilled from {wanted.name}, and none of {', '.join(teachers)} is that network as "
                "it was then; give it with --teacher"
            )
        return zoo_teacher(wanted)

    return find


def _from_callable(model: str, inputs: tuple[TensorSpec, ...], weights: str, tile: int) -> Source:
    place, _, attribute = model.rpartition(":")
    stem = Path(place).stem if place.endswith(".py") else attribute.split(".")[-1]
    name = stem.lower().replace("_", "-")
    with beside(place):
        found, home = look_up(model, "name a module or a function that gives one")
        network = _network(found, model)
    origin = {"kind": "torch", "name": Path(place).name + ":" + attribute}
    if what := _frozen(network):
        if weights:
            raise SourceError(f"{model} is a {what}, which has its weights with it; leave --weights out")
        is_codec = what == "codec"
        return _from_codec(name, network, origin, tile) if is_codec else student_source(name, network, origin)
    if not inputs:
        raise SourceError(
            f"{model} does not say what it takes; add --input name:shape:dtype, such as --input image:1x3x224x224, "
            "or the table [inputs.name] to the recipe"
        )
    if weights:
        from edgepress.nn.bitnet_checkpoint import load_checkpoint

        with user_code(f"{model} cannot be copied", "give a function that makes it"):
            network = copy.deepcopy(network)  # of the user's, which may be asked for again
        load_checkpoint(network, Path(weights))
        origin["weights"] = Path(weights).resolve().name
    with user_code(f"the weights of {model} cannot be read", "give a module whose weights are set"):
        digest = fingerprint(network, home.__name__)
    return Source(name, "torch", digest, origin, lambda: network, inputs)


def _frozen(network: Any) -> str:
    """``codec`` or ``student`` for one that was frozen; empty for anything else."""
    from edgepress.nn.codec.frozen import FrozenCodec
    from edgepress.nn.student.frozen import FrozenStudent

    kinds = {"codec": FrozenCodec, "student": FrozenStudent}
    return next((name for name, kind in kinds.items() if isinstance(network, kind)), "")


def _network(found: Any, model: str) -> Any:
    """A torch module in evaluation mode, a frozen codec or student, that the user's code is or gives."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("pressing a torch module", "torch", "build") from None
    if not isinstance(found, torch.nn.Module) and not _frozen(found):
        if not callable(found):
            raise SourceError(
                f"{model} is {type(found).__name__}; name a torch module or a function that gives one"
            )
        torch.manual_seed(0)  # a network with random weights is the same one in every build
        with user_code(f"{model}() failed", CALLED):
            found = found()
    if _frozen(found):
        return found
    if not isinstance(found, torch.nn.Module):
        raise SourceError(f"{model} gave {type(found).__name__}; it must give a torch.nn.Module")
    with user_code(f"{model} cannot be put into evaluation mode"):
        return found.eval()
