"""A trained codec as one safetensors file: weights in half precision, and all that streams depend on.

Tensors are named ``weight/NAME`` (float16), ``levels/RATE`` (float32) and ``model/RATE`` (uint8); the rest is JSON in
the file's header. Nothing in it is run when it is read.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgepress.coding.description import Rate
from edgepress.errors import MissingExtraError, SourceError
from edgepress.nn.codec.codec import Codec
from edgepress.nn.codec.config import CodecConfig
from edgepress.nn.codec.frozen import FrozenCodec
from edgepress.records import RecordError, decode, encode
from edgepress.replacing import replacing

SUFFIX = ".safetensors"
_KEY, _FORM = "edgepress-codec", 1
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class _Head:
    """The JSON of a file: its form, the codec's, its rates, and how it was trained."""

    form: int
    config: CodecConfig
    rates: tuple[Rate, ...]
    facts: dict[str, Any] = field(default_factory=dict)


def halved(module: Codec) -> Codec:
    """The codec as it is when it comes from a file: every weight as a half-precision number; in place."""
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(tensor.half().float())
    return module


def write_codec(path: Path, codec: FrozenCodec) -> None:
    """Write a codec; its weights must be such as :func:`halved` gives.

    Raises:
        StorageError: it cannot be written; what was there before still is.
    """
    from safetensors.torch import save

    tensors = {
        f"weight/{name}": value.detach().half().contiguous()
        for name, value in codec.module.state_dict().items()
    }
    for number, (levels, model) in enumerate(zip(codec.levels, codec.models, strict=True)):
        tensors[f"levels/{number}"] = torch.from_numpy(levels.copy())
        tensors[f"model/{number}"] = torch.frombuffer(bytearray(model), dtype=torch.uint8)
    head = _Head(_FORM, codec.module.config, codec.rates, dict(codec.facts))
    whole = save(tensors, {_KEY: json.dumps(encode(head), sort_keys=True)})
    with replacing(path, "choose another place") as file:
        file.write(whole)


def is_codec_file(path: Path) -> bool:
    """Whether a path looks like a codec's file: by its ending and its header."""
    if path.suffix != SUFFIX or not path.is_file():
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return f'"{_KEY}"'.encode() in file.read(1 << 16)
    return False


def read_codec_file(path: Path) -> FrozenCodec:
    """A codec from its file, in evaluation mode.

    Raises:
        SourceError: the file is none, damaged, or does not hold what its form needs.
        MissingExtraError: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise MissingExtraError("reading a codec's weights", "safetensors", "build") from None
    again = "train it again, or get the file anew"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SourceError(f"{path.name} is larger than any codec; {again}")
        with safe_open(path, "pt") as file:
            head = decode(_Head, json.loads((file.metadata() or {})[_KEY]))
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        cause = str(error) if isinstance(error, RecordError) else type(error).__name__
        raise SourceError(f"{path.name} is no codec that can be read ({cause[:200]}); {again}") from None
    if head.form != _FORM:
        raise SourceError(
            f"{path.name} has the form {head.form}, this edgepress reads {_FORM}; update edgepress"
        )
    with torch.device("meta"):
        module = Codec(head.config)
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {
        name.removeprefix("weight/"): value for name, value in tensors.items() if name.startswith("weight/")
    }
    if {name: tuple(value.shape) for name, value in found.items()} != wanted:
        raise SourceError(f"{path.name} does not hold the weights of the codec that it names; {again}")
    if not all(bool(torch.isfinite(value).all()) for value in found.values()):
        raise SourceError(f"{path.name} holds weights that are no numbers; {again}")
    module = Codec(head.config)
    module.load_state_dict({name: value.float() for name, value in found.items()})
    try:
        levels = tuple(_levels(tensors[f"levels/{n}"], head, rate) for n, rate in enumerate(head.rates))
        models = tuple(_bytes(tensors[f"model/{n}"]) for n in range(len(head.rates)))
    except (KeyError, ValueError):
        raise SourceError(f"{path.name} lacks levels or probabilities of one of its rates; {again}") from None
    return FrozenCodec(module.eval(), head.rates, levels, models, head.facts)


def _levels(tensor: torch.Tensor, head: _Head, rate: Rate) -> Any:
    if tensor.dtype != torch.float32 or tuple(tensor.shape) != (head.config.latents, rate.values):
        raise ValueError("levels of another shape")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError("levels that are no numbers")
    return tensor.numpy().copy()


def _bytes(tensor: torch.Tensor) -> bytes:
    if tensor.dtype != torch.uint8 or tensor.dim() != 1:
        raise ValueError("a model that is no bytes")
    return tensor.numpy().tobytes()
