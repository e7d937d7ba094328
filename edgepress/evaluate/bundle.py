"""Evaluate a bundle on a folder: accuracy where there are labels, and how near it is to the float network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.build.cache import StepCache
from edgepress.bundle import Manifest
from edgepress.errors import DataError, SourceError, UsageError
from edgepress.inputs.labelled import LabelledFiles, find_labelled
from edgepress.measurement import Measurement
from edgepress.metrics.accuracy import wilson_interval
from edgepress.outputs import ScoresOutput
from edgepress.progress import Progress, silent
from edgepress.runtimes.engine import Arrays
from edgepress.runtimes.session import Session, load_part

AUTO = "auto"
_GRAPH = "graph.onnx"


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        bundle, part, engine: what ran.
        note: why that engine, where it is not the target's own; else empty.
        examples: how many were run.
        labels: where labels came from, in words; empty where there are none.
        original: the float graph it was compared with, or empty.
        figures: accuracy, agreement (shares from 0 to 1 with their 95 % interval) and signal-to-noise ratio.
        unreadable: files that could not be used, with the reason.
    """

    bundle: str
    part: str
    engine: str
    note: str
    examples: int
    labels: str
    original: str
    figures: tuple[Measurement, ...]
    unreadable: dict[str, str] = field(default_factory=dict)


def evaluate(
    path: Path,
    data: Path,
    *,
    labels: Path | None = None,
    original: str = "",
    part: str | None = None,
    engine: str | None = None,
    trust: bool = False,
    threads: int | None = None,
    limit: int | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Run a bundle on every example of a folder.

    Args:
        path: the bundle.
        data: the folder; see :mod:`edgepress.inputs.labelled` for how labels are found.
        labels: a CSV file with ``file,label``.
        original: the float network to compare with, as an ONNX file; ``auto`` takes the one that the build
            cache kept; empty compares only where there are no labels.
        part, engine, trust, threads: as for :func:`edgepress.load`.
        limit: at most so many examples, evenly spread.
        progress: told of each example.

    Raises:
        DataError: no example can be used, or there is nothing to compare with.
        SourceError: the float network cannot be run.
        UsageError: the model has several inputs.
    """
    with load_part(path, part=part, engine=engine, trust=trust, threads=threads) as session:
        if len(session.part.inputs) != 1:
            raise UsageError(
                f"{path} has several inputs; evaluate takes models with one, use edgepress run for it"
            )
        scores, count, names = scores_of(session)
        kind = session.part.prepare[session.part.inputs[0].name].kind
        found = find_labelled(data, kind, names, count, labels).spread(limit)
        if not found.classes and not original:
            original = AUTO
        graph = _original(original, session.bundle.manifest, session.part_name) if original else None
        if original == AUTO and graph is None:
            raise DataError(_nothing_kept(bool(found.classes)))
        tally, unreadable = _run_all(session, found, graph, scores, threads, progress)
        if not tally.examples:
            first = next(iter(unreadable.values()))
            raise DataError(f"none of the {len(found.files)} files of {data} can be used; the first: {first}")
        how = f"{tally.examples} examples, engine {session.engine_name}"
        return Evaluation(
            str(path), session.part_name, session.engine_name, session.note, tally.examples, found.origin,
            str(graph or ""), tuple(tally.figures(how, found.origin, count)), unreadable,
        )  # fmt: skip


class FloatNetwork:
    """The float network in ONNX Runtime, fed with what the bundle's own preprocessing makes.

    Tensors are matched by name, and by position where the names differ.

    Raises:
        SourceError: it cannot be loaded, or has another number of inputs or outputs.
    """

    def __init__(self, path: Path, session: Session, threads: int | None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised, and said once
        if threads is not None:
            options.intra_op_num_threads = threads
        if not path.is_file():
            raise SourceError(f"{path} does not exist; give the float network as an ONNX file")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own exceptions share no base class but Exception
            raise SourceError(
                f"{path} cannot be run by ONNX Runtime ({_first_line(error)}); give the float network's file"
            ) from None
        self._path = path
        self._inputs = _match(
            [tensor.name for tensor in session.part.inputs], self._session.get_inputs(), path
        )
        self._outputs = _match(
            [tensor.name for tensor in session.part.outputs], self._session.get_outputs(), path
        )

    def run(self, inputs: Arrays) -> Arrays:
        """Run once; outputs by the bundle's names."""
        try:
            results = self._session.run(
                list(self._outputs.values()), {self._inputs[name]: array for name, array in inputs.items()}
            )
        except Exception as error:
            raise SourceError(
                f"{self._path} does not take the bundle's inputs ({_first_line(error)})"
            ) from None
        return dict(zip(self._outputs, map(np.asarray, results), strict=True))


@dataclass
class Tally:
    """Counts over the examples; powers are summed over every number of every output."""

    examples: int = 0
    right: int = 0
    right_of_five: int = 0
    original_right: int = 0
    agree: int = 0
    compared: bool = False
    signal: float = 0.0
    noise: float = 0.0

    def score(self, outputs: Arrays, truth: Arrays | None, scores: str, label: int | None) -> None:
        """Count one example: its outputs, the float network's, and its class, where they are known."""
        self.examples += 1
        if scores:
            order = np.argsort(-outputs[scores].reshape(-1).astype(np.float64), kind="stable")
            if label is not None:
                self.right += int(order[0]) == label
                self.right_of_five += label in order[:5]
            if truth is not None:
                first = int(np.argmax(truth[scores].reshape(-1)))
                self.agree += first == int(order[0])
                self.original_right += label is not None and first == label
        if truth is not None:
            self.compared = True
            for name, expected in truth.items():
                wide = expected.astype(np.float64)
                self.signal += float(np.sum(wide**2))
                self.noise += float(np.sum((outputs[name].astype(np.float64) - wide) ** 2))

    def figures(self, how: str, labels: str, classes: int) -> list[Measurement]:
        """Every figure that the counts allow."""
        found = []
        if labels and classes:
            found.append(self._share("top-1 accuracy", self.right, f"{how}, labels: {labels}"))
            if classes > 5:
                found.append(self._share("top-5 accuracy", self.right_of_five, f"{how}, labels: {labels}"))
            if self.compared:
                found.append(self._share("top-1 accuracy of the float network", self.original_right, how))
        if self.compared and classes:
            found.append(
                self._share("agreement with the float network", self.agree, f"{how}, same first class")
            )
        if self.compared:
            found.append(self._ratio(f"{how}, all outputs together"))
        return found

    def _share(self, name: str, count: int, how: str) -> Measurement:
        low, high = wilson_interval(count, self.examples)
        return Measurement(
            name, count / self.examples, "share", "measured", f"{how}; 95 % Wilson interval", low, high
        )

    def _ratio(self, how: str) -> Measurement:
        name = "signal-to-noise ratio against the float network"
        if not self.noise or not self.signal:
            reason = "no difference at all" if not self.noise else "the float network's outputs are all zero"
            return Measurement(name, None, "dB", "unavailable", reason)
        return Measurement(name, float(10 * np.log10(self.signal / self.noise)), "dB", "measured", how)


def _run_all(
    session: Session,
    found: LabelledFiles,
    graph: Path | None,
    scores: str,
    threads: int | None,
    progress: Progress,
) -> tuple[Tally, dict[str, str]]:
    network = FloatNetwork(graph, session, threads) if graph is not None else None
    classes: Sequence[int | None] = found.classes or [None] * len(found.files)
    tally, unreadable = Tally(), {}
    for number, (file, label) in enumerate(zip(found.files, classes, strict=True)):
        progress(number, len(found.files), file.name)
        try:
            inputs = session.prepare(file)
        except DataError as error:
            unreadable[str(file)] = str(error)
            continue
        tally.score(session.run_tensors(inputs), network.run(inputs) if network else None, scores, label)
    return tally, unreadable


def scores_of(session: Session) -> tuple[str, int, list[str]]:
    """The output with the class scores of one result, how many classes, their names; empty where none is."""
    for tensor in session.part.outputs:
        kind = session.part.meaning.get(tensor.name)
        if isinstance(kind, ScoresOutput) and tensor.shape and tensor.elements == tensor.shape[-1]:
            return tensor.name, tensor.shape[-1], session.bundle.labels(kind.labels) if kind.labels else []
    return "", 0, []


def _original(original: str, manifest: Manifest, part: str) -> Path | None:
    if original != AUTO:
        return Path(original)
    key = manifest.source.get("float_graph_key")
    key = key.get(part) if isinstance(key, dict) else key  # of a model of several parts, one each
    if not isinstance(key, str) or len(key) != 64 or not key.isalnum():
        return None
    folder = StepCache.default().find("export", key)
    return folder / _GRAPH if folder is not None and (folder / _GRAPH).is_file() else None


def _nothing_kept(labelled: bool) -> str:
    sentence = "the float network is not in this machine's cache (built elsewhere, or the cache was cleaned)"
    mend = "leave --original out" if labelled else "give labels (sub-folders, --labels, or numbered files)"
    return f"{sentence}; name it with --original FILE.onnx, or {mend}"


def _match(names: Sequence[str], others: Sequence[Any], path: Path) -> dict[str, str]:
    theirs = [other.name for other in others]
    if set(names) <= set(theirs):
        return {name: name for name in names}
    if len(names) != len(theirs):
        raise SourceError(
            f"{path} has {len(theirs)} tensors where the bundle has {len(names)}; is it the same network?"
        )
    return dict(zip(names, theirs, strict=True))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
