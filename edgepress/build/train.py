"""Methods that train: the training as a step that goes on where it was stopped, then the export of what it gave."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgepress.build import steps
from edgepress.build.data import held_out_samples, training_sets
from edgepress.build.job import Done, Job
from edgepress.build.press import (
    PressedNetwork,
    calibration_samples,
    gate_samples,
    gated,
    specs,
    target_defaults,
)
from edgepress.bundle import Check
from edgepress.errors import SourceError, StorageError, UsageError
from edgepress.inputs import InputKind
from edgepress.methods import Course, Method, Tensors, configure
from edgepress.progress import Progress
from edgepress.records import encode
from edgepress.samples import Samples
from edgepress.tensor import TensorSpec

_MORE = "train for more steps, or leave more layers with skip (what was trained is kept)"
_WEIGHTS, _REFERENCE = "weights.safetensors", "float.safetensors"


def check_training(job: Job, method: Method) -> None:
    """Refuse at once what would be refused after the export, or after hours.

    Raises:
        SourceError: the source is no torch module, or the method finds nothing in it to press.
        UsageError: the options do not fit it, or there is nothing to train on.
    """
    training = method.training
    assert training is not None
    if job.source.kind != "torch":
        raise SourceError(
            f"the method {method.name} trains, and {job.source.name} is an ONNX graph, which has no gradients; give "
            "its torch code as file.py:callable"
        )
    config = configure(method, job.recipe.options)
    training.key(config)
    if training.check(job.source.load(), config) and not job.recipe.data:
        raise UsageError(
            f"the method {method.name} trains, and there are no examples; give --data a folder, file.py:callable "
            "or digits"
        )


def trained_network(
    job: Job, exported: Done, method: Method, kinds: dict[str, InputKind], scores: str
) -> tuple[Done, PressedNetwork]:
    """Train the source's module, export it, and hold it against the float network.

    Args:
        exported: the source's own network.
        scores: the output with class scores, where the recipe or the labels say so.

    Returns:
        The float network, and the pressed one.

    Raises:
        CheckError: it loses more than the recipe allows.
        DataError: the examples do not fit the network, or the loss is no number.
        SourceError: the network has no layer that the method could press.
    """
    training = method.training
    assert training is not None
    config = configure(method, job.recipe.options)
    module = job.source.load()
    facts = steps.read_facts(exported.folder)
    inputs, outputs = specs(facts["inputs"]), specs(facts["outputs"])
    scored = next((spec for spec in outputs if spec.name == scores), outputs[0])
    trains = training.check(module, config)
    is_code = bool(job.recipe.data) and not Path(job.recipe.data).is_dir()
    sets = training_sets(job, inputs, kinds, scored) if trains or is_code else None

    def work(folder: Path, progress: Progress) -> None:
        with job.cache.unfinished(job.key("train", wanted)) as checkpoints:
            course = Course(
                inputs, bool(scores), checkpoints, progress, lambda what: job.listener.kept("train", what)
            )
            trained = training.train(module, sets if trains else None, config, course)
        _write_tensors(folder / _WEIGHTS, trained.tensors)
        if trained.reference is not None:
            _write_tensors(folder / _REFERENCE, trained.reference)
        steps.write_facts(folder, dict(trained.facts))

    wanted = {
        "source": job.source.digest,
        "method": method.name,
        "config": training.key(config),
        "data": sets.digest if sets is not None and trains else "",
        "inputs": encode(inputs),
        "scores": bool(scores),
    }
    about = f"training ({method.name})" if trains else "taking the weights as they are"
    done = job.step("train", about, wanted, work, _train_figure)
    job.cache.forget(done.key)
    reference = _export_reference(job, exported, done, inputs)
    if reference is exported and steps.read_facts(done.folder).get("start") == "scratch":
        job.listener.note(
            "no float network was trained, so that the gate compares with the model's own, untrained weights"
        )
    if not steps.read_facts(done.folder).get("above_chance", True):
        job.listener.note(
            "on what was held out the trained network is not clearly better than naming the commonest class; train for "
            "more steps, or look at the rate and at the targets"
        )
    network = _export_pressed(job, method, config, module, done, inputs, kinds)
    if sets is None:
        return reference, gated(
            job, reference, network, gate_samples(job, network, kinds, scores), scores, _MORE
        )
    is_class = steps.read_facts(done.folder).get("task", "classification") == "classification"
    samples = held_out_samples(job, sets, inputs, scored if is_class else None)
    scores = scores or (scored.name if samples.classes else "")
    return reference, gated(job, reference, network, samples, scores, _MORE)


def _train_figure(folder: Path) -> str:
    facts = steps.read_facts(folder)
    if "score" not in facts:
        return ""
    before = f" (in float {facts['float_score']:.4g})" if "float_score" in facts else ""
    return f"{facts['score_name']} {facts['score']:.4g}{before} after {facts['steps']} steps"


def _export_reference(job: Job, exported: Done, done: Done, inputs: tuple[TensorSpec, ...]) -> Done:
    """The float network that was trained first; where none was, the source's own."""
    if not (done.folder / _REFERENCE).is_file():
        return exported

    def work(folder: Path, progress: Progress) -> None:
        import copy

        module = copy.deepcopy(job.source.load())
        module.load_state_dict(_read_tensors(done.folder / _REFERENCE))
        source = dataclasses.replace(job.source, load=lambda: module, inputs=inputs)
        steps.export(source, job.target, None, folder, progress)

    return job.step(
        "export",
        "exporting the float network",
        {"train": done.key, **steps.limits(job.target)},
        work,
        lambda folder: "the trained float network",
    )


def _export_pressed(
    job: Job,
    method: Method,
    config: Any,
    module: Any,
    done: Done,
    inputs: tuple[TensorSpec, ...],
    kinds: dict[str, InputKind],
) -> PressedNetwork:
    training = method.training
    assert training is not None
    samples = calibration_samples(job, inputs, kinds, half=0)
    if config.rest == "int8" and not job.recipe.data:
        job.listener.note(f"without --data, calibrating on {samples.origin}")

    def work(folder: Path, progress: Progress) -> None:
        from edgepress.exporters.torch_onnx import export_module

        pressed = training.press(module, config, _read_tensors(done.folder / _WEIGHTS))
        ready = pressed.parts["main"].module
        assert ready is not None
        feeds = samples.load()
        progress(0, 1, "torch to ONNX")
        exported = export_module(
            ready, inputs, example_inputs=feeds[0], output_names=job.source.outputs or None,
            tolerance=steps.ROUNDED, rounds=True, cases=8, **steps.limits(job.target),
        )  # fmt: skip
        steps.write_pressed(folder, exported.model, pressed.facts, comparison=encode(exported.comparison))

    pressed = job.step(
        "press",
        f"pressing with {method.name}",
        {
            "train": done.key,
            "config": encode(config),
            "samples": samples.digest,
            **steps.limits(job.target),
        },
        work,
        lambda folder: f"{method.name}, {(folder / steps.GRAPH).stat().st_size / 1e6:.1f} MB",
    )
    facts = steps.read_facts(pressed.folder)
    job.check(_check(facts["comparison"]))
    rest = _press_rest(job, pressed, config, samples)
    told = {**facts["facts"], "training": steps.read_facts(done.folder)}
    facts = steps.read_facts(rest.folder)
    described = {"name": method.name, "config": encode(config), "facts": {**told, **facts["facts"]}}
    if config.rest == "int8":
        described["calibrated on"] = samples.origin
    return PressedNetwork(
        method.name,
        rest,
        specs(facts["inputs"]),
        specs(facts["outputs"]),
        facts["steps"],
        described,
        facts["rounds"],
    )


def _press_rest(job: Job, pressed: Done, config: Any, samples: Samples) -> Done:
    """The layers that the method left, to int8 where the options say so; which precision each layer has, and why."""
    bits = target_defaults("int8", job.target)

    def work(folder: Path, progress: Progress) -> None:
        from edgepress.graph.precision import precisions
        from edgepress.methods.int8 import Int8Config, quantise_rest

        graph = steps.read_graph(pressed.folder / steps.GRAPH)
        kept = {
            each["layer"]: each["why"] for each in steps.read_facts(pressed.folder)["facts"].get("left", [])
        }
        if config.rest == "int8":
            done = quantise_rest(
                graph, samples.load(), Int8Config(**bits), job.target.activations, progress, kept
            )
            steps.write_pressed(folder, done.graph, done.facts)
        else:
            steps.write_pressed(folder, graph, {"precisions": precisions(graph, kept)})

    return job.step(
        "rest",
        "pressing the layers left to int8" if config.rest == "int8" else "keeping the layers left",
        {
            "graph": pressed.key,
            "rest": config.rest,
            "bits": bits,
            "samples": samples.digest,
            "activations": job.target.activations,
        },
        work,
        lambda folder: _rest_figure(steps.read_facts(folder)["facts"]["precisions"]),
    )


def _rest_figure(precisions: dict[str, dict[str, str]]) -> str:
    counts = {name: len(layers) for name, layers in precisions.items() if layers}
    return ", ".join(f"{count} in {name}" for name, count in counts.items())


def _check(comparison: dict[str, Any]) -> Check:
    limit = comparison["tolerance"] * max(1.0, comparison["scale"])
    detail = f"{comparison['cases']} sets of inputs"
    if comparison["max_abs_error"] > limit:
        detail += (
            f", {comparison['within']} of them within the limit; elsewhere activations rounded the other way, "
            f"signal-to-noise ratio {comparison['sqnr_db']:.1f} dB"
        )
    return Check(
        "press",
        "the trained network in torch",
        comparison["max_abs_error"],
        limit,
        "absolute",
        True,
        detail=detail,
    )


def _write_tensors(path: Path, tensors: Tensors) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({name: value.contiguous().clone() for name, value in sorted(tensors.items())}, path)
    except SafetensorError as error:
        raise StorageError(f"the trained weights cannot be kept ({error}); free some space") from None


def _read_tensors(path: Path) -> Tensors:
    from safetensors.torch import load_file

    found: Tensors = load_file(path)
    return found
