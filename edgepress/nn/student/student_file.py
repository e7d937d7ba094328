"""A trained student as one safetensors file: weights in half precision, and all that streams depend on.

Tensors are named ``encoder/NAME``, ``HEAD/decoder/NAME`` and ``HEAD/rest/NAME`` (float16; of the teacher only what was
changed), ``steps`` (float32) and ``model/RATE`` (uint8); the rest is JSON in the file's header. The teacher's own
weights are not in it: it is named, and found again when the file is read. Nothing in the file is run.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgepress.coding.split import SERVER, SplitRate
from edgepress.errors import MissingExtraError, SourceError
from edgepress.nn.student.config import StudentConfig
from edgepress.nn.student.cut import cut
from edgepress.nn.student.decoder import decoder_for
from edgepress.nn.student.encoder import Encoder
from edgepress.nn.student.frozen import FrozenStudent, Head, ServerHalf, Teacher
from edgepress.records import RecordError, decode, encode
from edgepress.replacing import replacing

SUFFIX = ".safetensors"
_KEY, _FORM = "edgepress-student", 1
_MOST_BYTES = 1 << 30
_AGAIN = "train it again, or get the file anew"

FindTeacher = Callable[[Teacher], nn.Module]
"""Gives the network that a record names, in evaluation mode."""


@dataclass(frozen=True)
class _HeadRecord:
    """One of the server's halves: its part, the form of its decoder, and what it was distilled from."""

    part: str
    config: StudentConfig
    teacher: Teacher
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Record:
    """The JSON of a file."""

    form: int
    config: StudentConfig
    heads: tuple[_HeadRecord, ...]
    rates: tuple[SplitRate, ...]
    macs: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)


def halved(module: nn.Module) -> nn.Module:
    """A module as it is when it comes from a file: every parameter as a half-precision number; in place."""
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(tensor.half().float())
    return module


def write_student(path: Path, student: FrozenStudent) -> None:
    """Write a student; its own weights must be such as :func:`halved` gives.

    Raises:
        StorageError: it cannot be written; what was there before still is.
    """
    from safetensors.torch import save

    tensors = {f"encoder/{name}": _half(value) for name, value in student.encoder.state_dict().items()}
    records = []
    for part, head in student.heads.items():
        half: Any = head.module
        rest = half.rest.state_dict()
        tensors |= {
            f"{part}/decoder/{name}": _half(value) for name, value in half.decoder.state_dict().items()
        }
        tensors |= {f"{part}/rest/{name}": _half(rest[name]) for name in head.changed}
        records.append(_HeadRecord(part, head.config, head.teacher, head.changed))
    tensors["steps"] = torch.from_numpy(student.steps.copy())
    for number, model in enumerate(student.models):
        tensors[f"model/{number}"] = torch.frombuffer(bytearray(model), dtype=torch.uint8)
    record = _Record(
        _FORM, student.config, tuple(records), student.rates, dict(student.macs), dict(student.facts)
    )
    whole = save(tensors, {_KEY: json.dumps(encode(record), sort_keys=True)})
    with replacing(path, "choose another place") as file:
        file.write(whole)


def is_student_file(path: Path) -> bool:
    """Whether a path looks like a student's file: by its ending and its header."""
    if path.suffix != SUFFIX or not path.is_file():
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return f'"{_KEY}"'.encode() in file.read(1 << 16)
    return False


def read_student_file(path: Path, teacher: FindTeacher | None = None) -> FrozenStudent:
    """A student from its file, in evaluation mode.

    Args:
        teacher: finds the teachers that the file names; by default those of the zoo.

    Raises:
        SourceError: the file is none, damaged, does not hold what its form needs, or a teacher is not the one that
            it was distilled from.
        MissingExtraError: a package is not installed.
    """
    record, tensors = _read(path)
    encoder = _loaded(Encoder(record.config), _those(tensors, "encoder/"), path)
    heads = {}
    for each in record.heads:
        network = (teacher or zoo_teacher)(each.teacher)
        example = torch.zeros(each.teacher.input.shape)
        rest = cut(network, example, each.teacher.layer, ()).tail
        changed = _those(tensors, f"{each.part}/rest/")
        if set(changed) != set(each.changed) or not set(changed) <= set(rest.state_dict()):
            raise SourceError(
                f"{path.name} does not hold the layers that it changes in its teacher; {_AGAIN}"
            )
        rest.load_state_dict({name: value.float() for name, value in changed.items()}, strict=False)
        decoder = _loaded(decoder_for(each.config), _those(tensors, f"{each.part}/decoder/"), path)
        heads[each.part] = Head(ServerHalf(decoder, rest).eval(), each.teacher, each.changed, each.config)
    try:
        steps = tensors["steps"].numpy().copy()
        models = tuple(_bytes(tensors[f"model/{number}"]) for number in range(len(record.rates)))
        return FrozenStudent(
            record.config, encoder, heads, steps, record.rates, models, record.macs, record.facts
        )
    except (KeyError, ValueError):
        raise SourceError(f"{path.name} lacks steps or probabilities of one of its rates; {_AGAIN}") from None


def student_weights(path: Path) -> tuple[StudentConfig, dict[str, dict[str, Tensor]], Tensor]:
    """The form of a student, the weights of its ``encoder`` and of its first head's ``decoder``, and its steps.

    Raises:
        SourceError: the file is none, or damaged.
    """
    record, tensors = _read(path)
    prefixes = {"encoder": "encoder/", "decoder": f"{SERVER}/decoder/"}
    found = {
        name: {key: value.float() for key, value in _those(tensors, prefix).items()}
        for name, prefix in prefixes.items()
    }
    if "steps" not in tensors:
        raise SourceError(f"{path.name} lacks the steps of its rates; {_AGAIN}")
    return record.config, found, tensors["steps"]


def zoo_teacher(wanted: Teacher) -> nn.Module:
    """A teacher of the zoo.

    Raises:
        SourceError: the zoo has no such network, or another one of that name.
    """
    from edgepress import zoo

    if wanted.name not in zoo.names():
        raise SourceError(
            f"the student was distilled from {wanted.name}, which is not in the zoo; say where it is with --teacher"
        )
    found = zoo.entry(wanted.name)
    if found.digest() != wanted.digest:
        raise SourceError(
            f"the zoo's {wanted.name} is not the network that the student was distilled from; train the student again"
        )
    module: nn.Module = found.module()
    return module


def _read(path: Path) -> tuple[_Record, dict[str, Tensor]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise MissingExtraError("reading a student's weights", "safetensors", "build") from None
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SourceError(f"{path.name} is larger than any student; {_AGAIN}")
        with safe_open(path, "pt") as file:
            record = decode(_Record, json.loads((file.metadata() or {})[_KEY]))
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        cause = str(error) if isinstance(error, RecordError) else type(error).__name__
        raise SourceError(f"{path.name} is no student that can be read ({cause[:200]}); {_AGAIN}") from None
    if record.form != _FORM:
        raise SourceError(
            f"{path.name} has the form {record.form}, this edgepress reads {_FORM}; update edgepress"
        )
    floats = [value for value in tensors.values() if value.is_floating_point()]
    if not all(bool(torch.isfinite(value).all()) for value in floats):
        raise SourceError(f"{path.name} holds weights that are no numbers; {_AGAIN}")
    return record, tensors


def _those(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _loaded(module: Any, found: Mapping[str, Tensor], path: Path) -> Any:
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    if {name: tuple(value.shape) for name, value in found.items()} != wanted:
        raise SourceError(f"{path.name} does not hold the weights of the student that it names; {_AGAIN}")
    module.load_state_dict({name: value.float() for name, value in found.items()})
    return module.eval()


def _half(tensor: Tensor) -> Tensor:
    return tensor.detach().half().contiguous()


def _bytes(tensor: Tensor) -> bytes:
    if tensor.dtype != torch.uint8 or tensor.dim() != 1:
        raise ValueError("a model that is no bytes")
    return tensor.numpy().tobytes()
