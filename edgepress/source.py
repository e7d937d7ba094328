"""What can be pressed: a network of the zoo, an ONNX file, or a torch module that your own code makes.

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
from edgepress.errors import MissingExtraError, SourceError
from edgepress.fingerprint import fingerprint
from edgepress.inputs import InputKind
from edgepress.records import near
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
        codec: what is known of the codec whose networks the parts are; None for any other model.
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
    codec: CodecSource | None = None


def resolve(model: str, inputs: tuple[TensorSpec, ...] = (), weights: str = "", tile: int = 0) -> Source:
    """Find the model that a text means.

    Args:
        model: a name of the zoo, ``path.onnx``, ``package.module:callable`` or ``file.py:callable``; or the
            ``path.safetensors`` of a codec, as ``edgepress train`` writes it.
            The callable is a ``torch.nn.Module`` object, or a function or class that gives one when called; for a
            codec it is, or gives, an :class:`edgepress.nn.codec.FrozenCodec`.
        inputs: the tensors that the model takes, where it cannot say so itself.
        weights: a checkpoint for torch code: a safetensors file, or a folder as Hugging Face's libraries write it.
        tile: samples of an axis that a codec's networks are compiled for; 0 takes a size that serves most boards.

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
        return _from_codec_file(Path(model), tile)
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
            codec.outputs(which), codec.prepare(which), codec=codec,
        )  # fmt: skip

    parts = {which: part(which) for which in modules}
    return Source(name, "torch", frozen.identity, origin, lambda: frozen.module, parts=parts, codec=codec)


def _from_codec_file(path: Path, tile: int) -> Source:
    """What ``edgepress train`` wrote."""
    try:
        from edgepress.nn.codec.codec_file import is_codec_file, read_codec_file
    except ImportError:
        raise MissingExtraError("pressing a codec", "torch", "build") from None
    if not is_codec_file(path):
        raise SourceError(
            f"{path} holds weights and no network; give the network's code beside it, as file.py:callable --weights "
            f"{path}"
        )
    origin = {"kind": "codec", "name": path.name}
    return _from_codec(path.stem.lower().replace("_", "-"), read_codec_file(path), origin, tile)


def _from_callable(model: str, inputs: tuple[TensorSpec, ...], weights: str, tile: int) -> Source:
    place, _, attribute = model.rpartition(":")
    stem = Path(place).stem if place.endswith(".py") else attribute.split(".")[-1]
    name = stem.lower().replace("_", "-")
    with beside(place):
        found, home = look_up(model, "name a module or a function that gives one")
        network = _network(found, model)
    origin = {"kind": "torch", "name": Path(place).name + ":" + attribute}
    if _is_codec(network):
        if weights or inputs:
            raise SourceError(
                f"{model} is a codec, which has its weights with it and says what it takes; leave "
                f"{'--weights' if weights else '--input'} out"
            )
        return _from_codec(name, network, origin, tile)
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


def _is_codec(network: Any) -> bool:
    from edgepress.nn.codec.frozen import FrozenCodec

    return isinstance(network, FrozenCodec)


def _network(found: Any, model: str) -> Any:
    """A torch module in evaluation mode, or a frozen codec, that the user's code is or gives."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("pressing a torch module", "torch", "build") from None
    if not isinstance(found, torch.nn.Module) and not _is_codec(found):
        if not callable(found):
            raise SourceError(
                f"{model} is {type(found).__name__}; name a torch module or a function that gives one"
            )
        torch.manual_seed(0)  # a network with random weights is the same one in every build
        with user_code(f"{model}() failed", CALLED):
            found = found()
    if _is_codec(found):
        return found
    if not isinstance(found, torch.nn.Module):
        raise SourceError(f"{model} gave {type(found).__name__}; it must give a torch.nn.Module")
    with user_code(f"{model} cannot be put into evaluation mode"):
        return found.eval()
