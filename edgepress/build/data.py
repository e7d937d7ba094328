"""Examples to train on: a folder's, decoded in a step of its own, built-in ones, or those of the user's code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepress.build.job import Job
from edgepress.errors import DataError
from edgepress.inputs import InputKind
from edgepress.inputs.labelled import sub_folders
from edgepress.methods import Method, configure, find_method
from edgepress.records import encode
from edgepress.samples import Feed, Samples
from edgepress.tensor import TensorSpec

if TYPE_CHECKING:
    from edgepress.training.examples import Examples
    from edgepress.training.sets import Sets

_GATED = 1000  # held-out examples that the gate looks at, at most
_GATED_BYTES = 1 << 28


def training_method(name: str) -> Method | None:
    """The method of that name where it trains; None for ``auto`` and for those that press graphs."""
    method = find_method(name) if name != "auto" else None
    return method if method is not None and method.training is not None else None


def check_data(data: str, method: Method | None, name: str) -> None:
    """Refuse data that nobody can read, before anything is loaded.

    Raises:
        DataError: it is no folder, and for a method that trains neither ``digits`` nor ``place:callable``.
    """
    if not data or Path(data).is_dir():
        return
    if method is None:
        more = ""
        if data == "digits" or ":" in data:
            more = (
                f"; {name} only calibrates, and takes a folder" if name != "auto" else "; auto takes a folder"
            )
        raise DataError(f"{data} is no folder{more or '; give one that holds examples with --data'}")
    if data != "digits" and ":" not in data:
        raise DataError(
            f"{data} is no folder; give one that holds examples, file.py:callable, package.module:callable or digits"
        )


def folder_labels(job: Job, outputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    """The source's labels; where it has none and learns the classes of a folder, the names of its sub-folders.

    Args:
        outputs: of the network; the first must score as many classes.
    """
    data, known = job.recipe.data, job.source.labels
    if known or not data or not Path(data).is_dir() or training_method(job.recipe.method) is None:
        return known
    names = sub_folders(Path(data))
    shape = outputs[0].shape
    return names if len(shape) == 2 and len(names) == shape[-1] else ()


def training_sets(
    job: Job, inputs: tuple[TensorSpec, ...], kinds: Mapping[str, InputKind], scores: TensorSpec | None
) -> Sets:
    """The examples of ``--data``; the same object for the whole of a build.

    Args:
        inputs: of the network.
        kinds: how each is made.
        scores: the output with class scores; None where they are not needed.

    Raises:
        DataError: there are none in what is given, or they do not fit.
    """
    if job.sets is None:
        method = find_method(job.recipe.method)
        config = configure(method, job.recipe.options)
        sets = _load(job, inputs, kinds, scores, config)
        _check_fit(sets, inputs)
        job.sets = sets
    return job.sets  # type: ignore[no-any-return]


def _check_fit(sets: Sets, inputs: tuple[TensorSpec, ...]) -> None:
    import torch

    from edgepress.training.tasks import fitted

    for examples in (sets.train, sets.held_out):
        fitted(examples.take(torch.arange(1)), inputs)


def _load(
    job: Job,
    inputs: tuple[TensorSpec, ...],
    kinds: Mapping[str, InputKind],
    scores: TensorSpec | None,
    config: Any,
) -> Sets:
    data = job.recipe.data
    if not Path(data).is_dir():
        from edgepress.training.user_data import sets_from

        return sets_from(data, inputs, config.held_out)
    if len(inputs) != 1:
        raise DataError(
            f"a folder holds examples for one input, and the network takes {len(inputs)}; give --data file.py:callable"
        )
    from edgepress.training.folder import decode, decoded_examples, find_examples
    from edgepress.training.sets import split

    tensor, kind = inputs[0], kinds[inputs[0].name]
    classes = scores.shape[-1] if scores is not None and scores.shape else 0
    found = find_examples(Path(data), kind.kind, job.source.labels, classes)
    digest = files_digest(found.files, repr((tensor, kind, found.classes)))
    done = job.step(
        "data",
        "decoding the examples",
        {"files": digest, "input": encode(tensor), "kind": encode(kind)},
        lambda folder, progress: decode(found, kind, tensor, folder, progress),
        lambda folder: f"{sum(path.stat().st_size for path in folder.glob('*.npy')) / 1e6:.1f} MB",
    )
    named = f"{digest} {config.augment}"
    return split(
        decoded_examples(done.folder, kind, tensor, Path(data).resolve().name, named, config.augment),
        config.held_out,
    )


def files_digest(files: Iterable[Path], also: str) -> str:
    """Changes with the content of files, in their order, and with a text.

    Raises:
        DataError: one cannot be read.
    """
    digest = hashlib.sha256(also.encode())
    for path in files:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error.strerror}); check that it is a file you may read"
            ) from None
    return digest.hexdigest()


def samples_of(
    examples: Examples, inputs: tuple[TensorSpec, ...], count: int, scores: TensorSpec | None = None
) -> Samples:
    """Examples for the steps that look at graphs: evenly spread, one at a time, with their classes where they have one.

    Args:
        count: how many, at most.
        scores: the output with class scores, which tells how many classes an example has: one for each row of scores.
    """
    import torch

    at = torch.linspace(0, examples.count - 1, min(count, examples.count)).long()
    batch = examples.take(at)
    targets = batch[len(inputs) :]
    labelled = (
        scores is not None
        and len(targets) == 1
        and not targets[0].is_floating_point()
        and targets[0].shape[1:] == scores.shape[1:-1]
    )

    def load() -> list[Feed]:
        arrays = [part.numpy().astype(spec.dtype) for part, spec in zip(batch, inputs, strict=False)]
        return [
            {
                spec.name: np.ascontiguousarray(array[n : n + 1])
                for spec, array in zip(inputs, arrays, strict=True)
            }
            for n in range(len(at))
        ]

    digest = hashlib.sha256(f"{examples.digest} {at.tolist()}".encode()).hexdigest()
    classes = tuple(targets[0].tolist()) if labelled else ()
    return Samples(digest, f"{len(at)} of {examples.origin}", len(at), load, classes)


def held_out_samples(
    job: Job, sets: Sets, inputs: tuple[TensorSpec, ...], scores: TensorSpec | None
) -> Samples:
    """What was held out of the training, as many as serve to tell a difference of a per cent or so."""
    each = sum(int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize for spec in inputs)
    count = max(job.recipe.samples, min(_GATED, _GATED_BYTES // max(each, 1)))
    return samples_of(sets.held_out, inputs, count, scores)
