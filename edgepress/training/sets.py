"""Examples from whatever a user's code gives: tensors, a dataset, a loader; and the share that is held out.

::

    (x, y) tensors ──────────┐
    list or Dataset ─────────┼─► Examples ─► those to train on, and those to score on
    DataLoader, generator ───┘
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgepress.errors import DataError
from edgepress.training.examples import Examples, from_tensors

_MOST_BYTES = 4 << 30  # of what a loader gives, all of which is kept
_LOOKED_AT = 64  # examples of a dataset that go into its digest


@dataclass(frozen=True)
class Sets:
    """Examples to train on, and others to score on.

    Attributes:
        origin: what they are, for people.
        digest: changes when either does.
    """

    train: Examples
    held_out: Examples
    origin: str
    digest: str


def split(examples: Examples, share: float, seed: int = 0) -> Sets:
    """Hold a share of the examples out, chosen by a seed.

    Raises:
        DataError: there are not two examples.
    """
    if examples.count < 2:
        raise DataError(
            f"{examples.origin or 'the data'} holds one example, and one must be held out; give more examples"
        )
    held = min(max(1, round(share * examples.count)), examples.count - 1)
    order = torch.randperm(examples.count, generator=torch.Generator().manual_seed(seed))
    digest = hashlib.sha256(f"{examples.digest} {held} {seed}".encode()).hexdigest()

    def part(rows: Tensor, name: str) -> Examples:
        return dataclasses.replace(
            examples, count=len(rows), take=lambda at: examples.take(rows[at]), digest=f"{digest} {name}"
        )

    train = part(order[held:].sort().values, "train")
    rest = dataclasses.replace(part(order[:held].sort().values, "held out"), augment=None)
    return Sets(train, rest, f"{examples.origin}, {held} of them held out", digest)


def sets_of(given: Any, name: str, code: str, share: float) -> Sets:
    """What a user's callable gave, as examples to train on and to score on.

    Args:
        given: anything that :func:`examples_of` takes, or two of them: a tuple ``(train, held out)`` or a mapping
            ``{"train": …, "test": …}``.
        name: what it is called, for people.
        code: a digest of the user's code.
        share: of the examples that is held out, where the user names none.

    Raises:
        DataError: it gives no examples.
    """
    pair = None
    if isinstance(given, Mapping):
        if set(given) != {"train", "test"}:
            raise DataError(f"{name} gives a mapping with {_keys(given)}; give 'train' and 'test'")
        pair = (given["train"], given["test"])
    elif isinstance(given, tuple) and len(given) == 2 and not _is_array(given[0]):
        pair = given
    if pair is None:
        return split(examples_of(given, name, code), share)
    train = examples_of(pair[0], f"{name} (train)", code)
    held_out = dataclasses.replace(examples_of(pair[1], f"{name} (test)", code), augment=None)
    digest = hashlib.sha256(f"{train.digest} {held_out.digest}".encode()).hexdigest()
    return Sets(train, held_out, f"{train.count} and {held_out.count} examples of {name}", digest)


def examples_of(given: Any, name: str, code: str = "") -> Examples:
    """Examples from tensors, a dataset or a loader.

    Args:
        given: ``Examples``; a tuple or list of tensors or arrays of one length; a list of examples or anything with
            ``len`` and ``[]`` (a torch Dataset), an example being a tuple of tensors, arrays and numbers; or
            anything that gives batches (a DataLoader), which are read once and kept.

    Raises:
        DataError: there are no examples in it, or they have not one shape.
    """
    if isinstance(given, Examples):
        if given.count < 1:
            raise DataError(f"{name} holds no examples; give some")
        origin = given.origin or f"{given.count} examples of {name}"
        digest = given.digest or _digest(given.take, given.count, name)
        return dataclasses.replace(given, origin=origin, digest=f"{digest} {code}")
    if _is_array(given):
        given = (given,)
    if isinstance(given, tuple | list) and given and all(_is_array(each) for each in given):
        return _from_columns([torch.as_tensor(each) for each in given], name)
    if hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        count = len(given)
        if not count:
            raise DataError(f"{name} holds no examples; give some")

        def take(at: Tensor) -> tuple[Tensor, ...]:
            return _stacked([_example(given, int(index), name) for index in at], name)

        digest = _digest(take, count, name)
        return Examples(count, take, None, f"{count} examples of {name}", f"{digest} {code}")
    if isinstance(given, Iterable):
        return _from_columns(_read(given, name), name)
    raise DataError(
        f"{name} gives {type(given).__name__}; give (inputs, targets) tensors, a list of examples, a torch Dataset "
        "or a DataLoader"
    )


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _keys(given: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, given)) or "nothing"


def _from_columns(columns: list[Tensor], name: str) -> Examples:
    lengths = [len(each) if each.dim() else 0 for each in columns]
    if not columns or not lengths[0]:
        raise DataError(f"{name} holds no examples; give some")
    if len(set(lengths)) > 1:
        raise DataError(f"{name} gives tensors of lengths {lengths}; give as many targets as inputs")
    digest = hashlib.sha256()
    for column in columns:
        digest.update(f"{column.dtype} {tuple(column.shape)}".encode())
        digest.update(column.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return from_tensors(*columns, origin=f"{lengths[0]} examples of {name}", digest=digest.hexdigest())


def _read(given: Iterable[Any], name: str) -> list[Tensor]:
    """All batches of a loader, joined."""
    batches: list[tuple[Tensor, ...]] = []
    taken = 0
    for batch in given:
        parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
        if not all(_is_array(part) for part in parts):
            kinds = ", ".join(type(part).__name__ for part in parts)
            raise DataError(f"a batch of {name} holds {kinds}; give batches of tensors (inputs, targets)")
        batches.append(tuple(torch.as_tensor(part) for part in parts))
        taken += sum(part.numel() * part.element_size() for part in batches[-1])
        if taken > _MOST_BYTES:
            raise DataError(
                f"{name} gives more than 4 GiB, all of which would be kept; give a torch Dataset, which is read "
                "example by example"
            )
    if not batches:
        raise DataError(f"{name} holds no examples; give some")
    try:
        return [torch.cat(column) for column in zip(*batches, strict=True)]
    except (RuntimeError, ValueError) as error:
        raise DataError(f"the batches of {name} do not fit together ({_line(error)})") from None


def _example(given: Any, index: int, name: str) -> Any:
    try:
        return given[index]
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # the user's code may raise anything
        raise DataError(f"{name}[{index}] failed: {type(error).__name__}: {_line(error)}; mend it") from error


def _stacked(rows: list[Any], name: str) -> tuple[Tensor, ...]:
    """Examples as one batch."""
    try:
        tuples = [tuple(row) if isinstance(row, tuple | list) else (row,) for row in rows]
        columns = zip(*tuples, strict=True)
        return tuple(torch.stack([torch.as_tensor(item) for item in column]) for column in columns)
    except (RuntimeError, ValueError, TypeError) as error:
        raise DataError(
            f"the examples of {name} do not fit together ({_line(error)}); give tensors of one shape, and numbers"
        ) from None


def _digest(take: Callable[[Tensor], tuple[Tensor, ...]], count: int, name: str) -> str:
    """Of a number of examples, evenly spread: a dataset may be larger than memory."""
    torch.manual_seed(0)  # a dataset may change its examples at random
    at = torch.linspace(0, count - 1, min(count, _LOOKED_AT)).long()
    return hashlib.sha256(f"{count} {_from_columns(list(take(at)), name).digest}".encode()).hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
