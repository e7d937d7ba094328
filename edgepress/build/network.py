"""One network of a build: exported, pressed, compiled for every engine, checked, its weights stored once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgepress.build import steps
from edgepress.build.assemble import Finished, finish, pool
from edgepress.build.choice import choose_engine
from edgepress.build.data import folder_labels, training_method
from edgepress.build.engines import compile_all
from edgepress.build.job import Done, Job
from edgepress.build.press import calibration_samples, choose_network, specs
from edgepress.build.train import trained_network
from edgepress.bundle import Check
from edgepress.errors import UsageError
from edgepress.inputs import ArrayInput, ImageInput, InputKind
from edgepress.outputs import ArrayOutput, OutputKind, ScoresOutput
from edgepress.records import encode, near
from edgepress.samples import Samples
from edgepress.tensor import TensorSpec


def build_network(job: Job) -> Finished:
    """Everything that the bundle holds of the network that the job is about.

    Raises:
        EdgepressError: see :mod:`edgepress.errors`.
    """
    exported, inputs, outputs = export(job)
    job.source = dataclasses.replace(job.source, labels=folder_labels(job, outputs))
    kinds, meaning = _meaning(job, inputs, outputs)
    scores = next((name for name, kind in meaning.items() if isinstance(kind, ScoresOutput)), "")
    method = training_method(job.recipe.method)
    if method is None:
        network = choose_network(job, exported, kinds, scores)
    else:
        exported, network = trained_network(job, exported, method, kinds, scores)
    samples = calibration_samples(job, network.inputs, kinds, half=1)
    graph = network.step.folder / steps.GRAPH
    golden = job.step(
        "golden",
        "making the golden examples",
        {"graph": network.step.key, "samples": samples.digest, "count": job.recipe.golden},
        lambda folder, progress: steps.golden(
            graph, (network.inputs, network.outputs), samples.load(), job.recipe.golden, folder
        ),
    )
    compiled = compile_all(job, network, golden)
    chosen = choose_engine(job, network, compiled, golden)
    pooled = pool(job, network, compiled)
    return finish(job, exported, network, compiled, pooled, golden, kinds, meaning, chosen)


def export(job: Job) -> tuple[Done, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The source as a float graph that the target's runtime takes: the finished step, and the graph's tensors."""
    source = job.source
    samples: Samples | None = None
    if source.inputs and source.kind == "torch":
        kinds = {
            spec.name: _kind(source.prepare.get(spec.name, ArrayInput()), spec) for spec in source.inputs
        }
        samples = calibration_samples(job, source.inputs, kinds, half=0)
    limits = {"ir": job.target.runtime.max_ir, "opset": job.target.runtime.max_opset}
    exported = job.step(
        "export",
        "exporting the model to ONNX",
        {
            "source": source.digest,
            "inputs": encode(source.inputs),
            "outputs": list(source.outputs),
            "example": samples.digest if samples else "",
            **limits,
        },
        lambda folder, progress: steps.export(
            source, job.target, samples.load()[0] if samples else None, folder, progress
        ),
        _export_figure,
    )
    facts = steps.read_facts(exported.folder)
    comparison = facts["comparison"]
    limit = comparison["tolerance"] * max(1.0, comparison["scale"])
    detail = f"{comparison['cases']} sets of inputs"
    job.check(
        Check("export", facts["against"], comparison["max_abs_error"], limit, "absolute", True, detail=detail)
    )
    return exported, specs(facts["inputs"]), specs(facts["outputs"])


def _export_figure(folder: Path) -> str:
    facts = steps.read_facts(folder)
    size = (folder / steps.GRAPH).stat().st_size / 1e6
    return f"{size:.1f} MB, within {facts['comparison']['max_abs_error']:.1g} of {facts['against']}"


def _meaning(
    job: Job, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> tuple[dict[str, InputKind], dict[str, OutputKind]]:
    """How each input is made and what each output means, by tensor name."""
    known = [spec.name for spec in inputs]
    for name in job.recipe.inputs:
        if name not in known:
            raise UsageError(f"the model has no input {name!r}{near(name, known)}; it has {', '.join(known)}")
    names = [spec.name for spec in outputs]
    for name in job.recipe.outputs:
        if name not in names:
            raise UsageError(
                f"the model has no output {name!r}{near(name, names)}; it has {', '.join(names)}"
            )
    meaning: dict[str, OutputKind] = {name: job.recipe.outputs.get(name, ArrayOutput()) for name in names}
    scored = [spec for spec in outputs if isinstance(meaning[spec.name], ScoresOutput)]
    if job.source.labels and not scored:
        scored = [
            spec
            for spec in outputs[:1]
            if spec.dtype.startswith("float") and spec.shape and spec.shape[-1] > 1
        ]
        if not scored:
            raise UsageError(
                f"labels are for class scores, and the output {names[0]!r} holds none; "
                "name the one that does under [outputs] in a recipe"
            )
    for spec in scored:
        meaning[spec.name] = _scores(job, meaning[spec.name], spec)
    return {
        spec.name: _kind(job.source.prepare.get(spec.name, ArrayInput()), spec) for spec in inputs
    }, meaning


def _scores(job: Job, kind: OutputKind, spec: TensorSpec) -> ScoresOutput:
    """An output of class scores with the source's labels, one a class."""
    labels = job.source.labels
    known = kind if isinstance(kind, ScoresOutput) else ScoresOutput()
    if known.labels:
        raise UsageError(f"labels stand at the top of a recipe, not under [outputs.{spec.name}]")
    classes = spec.shape[-1] if spec.shape else 0
    if labels and len(labels) != classes:
        raise UsageError(
            f"there are {len(labels)} labels, and the output {spec.name!r} scores {classes} classes; "
            "give one label a line"
        )
    return dataclasses.replace(known, labels=f"{job.part}/labels.txt" if labels else "")


def _kind(kind: InputKind, spec: TensorSpec) -> InputKind:
    """A picture for a tensor with one channel is grey, whatever was said of its colour."""
    if isinstance(kind, ImageInput) and len(spec.shape) == 4 and kind.colour != "L":
        channels = spec.shape[1 if kind.layout == "NCHW" else 3]
        if channels == 1:
            return dataclasses.replace(kind, colour="L", mean=kind.mean[:1], std=kind.std[:1])
    return kind
