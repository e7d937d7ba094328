"""Which form of the network ships: press it, hold it against the float one, keep what passes and is not slower."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgepress.build import steps
from edgepress.build.data import samples_of, training_sets
from edgepress.build.job import Done, Job
from edgepress.bundle import Check
from edgepress.errors import CheckError, SourceError
from edgepress.inputs import InputKind
from edgepress.progress import Progress
from edgepress.records import decode, encode
from edgepress.samples import Samples, built_in, from_folder
from edgepress.targets import Target
from edgepress.targets.features import saturates
from edgepress.tensor import TensorSpec

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class PressedNetwork:
    """The network in the form that ships.

    Attributes:
        method: the method that made it.
        step: where its graph is.
        inputs, outputs: its tensors.
        steps: the size of one step of each quantised output.
        facts: what the method says of its work, and why it was chosen.
        rounds: whether activations are rounded to integers somewhere.
    """

    method: str
    step: Done
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: dict[str, float]
    facts: dict[str, Any]
    rounds: bool = False

    @property
    def two_bit(self) -> bool:
        """Whether ONNX Runtime may take its own products of two-bit weights."""
        return bool(self.facts.get("config", {}).get("onnxruntime") == "two-bit")


def calibration_samples(
    job: Job,
    inputs: tuple[TensorSpec, ...],
    kinds: dict[str, InputKind],
    half: int,
    scores: TensorSpec | None = None,
) -> Samples:
    """Examples to calibrate with (half 0) or to check with (half 1), with their classes where ``scores`` is given.

    A part that takes what another one gives, as a codec's decoder does, gets what that makes of such examples.
    """
    joined, source = job.joined, job.source.joined
    before = joined.made_from(job.part)
    if source is not None and before:
        from edgepress.build.joined_samples import made_samples

        taken = calibration_samples(job.beside(before), source.inputs(before), source.prepare(before), half)
        return made_samples(source, joined, job.part, taken)
    if job.recipe.data and not Path(job.recipe.data).is_dir():
        sets = training_sets(job, inputs, kinds, scores)
        return samples_of((sets.train, sets.held_out)[half], inputs, job.recipe.samples)
    if job.recipe.data:
        classes = scores.shape[-1] if scores is not None and scores.shape else 0
        return from_folder(
            Path(job.recipe.data),
            inputs,
            kinds,
            job.recipe.samples,
            half,
            job.source.labels if classes else (),
            classes,
        )
    return built_in(inputs, kinds, job.recipe.samples, seed=half)


def choose_network(job: Job, exported: Done, kinds: dict[str, InputKind], scores: str) -> PressedNetwork:
    """Press by the recipe's method; ``auto`` keeps int8 where the gate lets it pass and it is not slower.

    Raises:
        CheckError: the method asked for loses more than the recipe allows.
    """
    wanted = job.recipe.method
    if wanted != "auto":
        network = _press(job, exported, wanted, job.recipe.options, kinds)
        if wanted == "none":
            return network
        more = "calibrate with more --data, or use --method auto"
        return gated(job, exported, network, gate_samples(job, network, kinds, scores), scores, more)
    plain = _press(job, exported, "none", {}, kinds)
    try:
        network = _press(job, exported, "int8", {}, kinds)
    except SourceError as error:
        return _kept_in_float(job, plain, str(error).partition(";")[0])
    passed, sentence = _gate(job, exported, network, gate_samples(job, network, kinds, scores), scores)
    if not passed:
        return _kept_in_float(job, plain, f"int8 {sentence}")
    slower, speed = _slower(job, plain, network, kinds)
    if slower:
        return _kept_in_float(job, plain, speed)
    return dataclasses.replace(
        network, facts={**network.facts, "auto": f"int8 is kept; {speed}", "gate": sentence}
    )


def _kept_in_float(job: Job, plain: PressedNetwork, why: str) -> PressedNetwork:
    job.listener.note(f"kept in float: {why}")
    return dataclasses.replace(plain, facts={**plain.facts, "auto": f"kept in float: {why}"})


def _press(
    job: Job, exported: Done, name: str, options: dict[str, Any], kinds: dict[str, InputKind]
) -> PressedNetwork:
    from edgepress.methods import configure, find_method

    method = find_method(name)
    config = configure(method, {**target_defaults(name, job.target), **options})
    inputs = specs(steps.read_facts(exported.folder)["inputs"])
    samples = (
        calibration_samples(job, inputs, kinds, half=0)
        if method.needs_data
        else built_in(inputs, kinds, 1, 0)
    )
    if method.needs_data and not job.recipe.data:
        job.listener.note(f"calibrating on {samples.origin}; --data FOLDER takes your own")
    done = job.step(
        "press",
        f"pressing with {name}",
        {
            "graph": exported.key,
            "method": name,
            "config": encode(config),
            "activations": job.target.activations,
            "samples": samples.digest if method.needs_data else "",
        },
        lambda folder, progress: steps.press(
            exported.folder / steps.GRAPH, name, config, job.target, samples, folder, progress
        ),
        lambda folder: f"{name}, {(folder / steps.GRAPH).stat().st_size / 1e6:.1f} MB",
    )
    return pressed_network(name, config, done, samples if method.needs_data else None)


def pressed_network(
    method: str, config: Any, done: Done, samples: Samples | None, earlier: Mapping[str, Any] = _NOTHING
) -> PressedNetwork:
    """The network that a step pressed.

    Args:
        method, config: what made it.
        done: the step with its graph and its facts.
        samples: that it was calibrated on; None where it needed none.
        earlier: facts of the steps before.
    """
    written = steps.read_facts(done.folder)
    facts = {"name": method, "config": encode(config), "facts": {**earlier, **written["facts"]}}
    if samples is not None:
        facts["calibrated on"] = samples.origin
    inputs, outputs = specs(written["inputs"]), specs(written["outputs"])
    return PressedNetwork(method, done, inputs, outputs, written["steps"], facts, written["rounds"])


def gate_samples(job: Job, network: PressedNetwork, kinds: dict[str, InputKind], scores: str) -> Samples:
    """Examples to check with, with their classes where the network gives scores and the examples tell."""
    tensor = next((spec for spec in network.outputs if spec.name == scores), None)
    return calibration_samples(job, network.inputs, kinds, half=1, scores=tensor)


def gated(
    job: Job, reference: Done, network: PressedNetwork, samples: Samples, scores: str, more: str
) -> PressedNetwork:
    """The network, where it loses no more against the float one than the recipe allows.

    Args:
        reference: the float network.
        scores: the output with class scores; may be empty.
        more: what else the user can do, for the message.

    Raises:
        CheckError: it loses more.
    """
    passed, sentence = _gate(job, reference, network, samples, scores)
    if not passed:
        raise CheckError(f"{sentence}; allow more under [gate] in the recipe, {more}")
    return dataclasses.replace(network, facts={**network.facts, "gate": sentence})


def _gate(
    job: Job, exported: Done, network: PressedNetwork, samples: Samples, scores: str
) -> tuple[bool, str]:

    def work(folder: Any, progress: Any) -> None:
        from edgepress.build.gate import judge

        judgement = judge(
            exported.folder / steps.GRAPH,
            network.step.folder / steps.GRAPH,
            samples,
            job.recipe.gate,
            scores,
            progress,
        )
        steps.write_facts(folder, encode(judgement))

    done = job.step(
        "gate",
        "holding it against the float network",
        {
            "float": exported.key,
            "pressed": network.step.key,
            "samples": samples.digest,
            "limits": encode(job.recipe.gate),
            "scores": scores,
        },
        work,
        lambda folder: str(steps.read_facts(folder)["sentence"]),
    )
    facts = steps.read_facts(done.folder)
    for figure in facts["figures"]:
        job.check(
            Check(
                "gate",
                "the float network",
                figure["value"],
                figure["limit"],
                figure["unit"],
                figure["passed"],
                detail=samples.origin,
            )
        )
    return bool(facts["passed"]), str(facts["sentence"])


def _slower(
    job: Job, plain: PressedNetwork, network: PressedNetwork, kinds: dict[str, InputKind]
) -> tuple[bool, str]:
    """Whether the pressed network is slower on the target: measured where a device is given, else estimated."""
    graphs = (network.step.folder / steps.GRAPH, plain.step.folder / steps.GRAPH)
    inputs = {"pressed": network.step.key, "float": plain.step.key, "target": encode(job.target)}
    if job.recipe.on == "local":

        def measure(progress: Progress) -> dict[str, Any]:
            from edgepress.build.timing import graph_ratio

            feed = calibration_samples(job, network.inputs, kinds, half=1).load()[0]
            return {"ratio": graph_ratio(*graphs, feed, progress)}

        facts = job.measure(
            "speed",
            "timing int8 against float",
            inputs,
            measure,
            lambda facts: f"int8 takes {facts['ratio']:.2f} of the float network's time",
        )
        slower = facts["ratio"] > 1
        return (
            slower,
            f"int8 measured {'slower' if slower else 'faster'} on this machine (ONNX Runtime, 1 thread)",
        )

    def estimate(folder: Path, progress: Progress) -> None:
        from edgepress.build.speed import estimate_slower

        slower, sentence = estimate_slower(*graphs, job.target, job.peaks())
        steps.write_facts(folder, {"slower": slower, "sentence": sentence})

    done = job.step(
        "speed",
        "estimating the speed of int8 against float",
        {**inputs, "estimated": True, "peaks": encode(job.peaks())},
        estimate,
        lambda folder: str(steps.read_facts(folder)["sentence"]),
    )
    facts = steps.read_facts(done.folder)
    return bool(facts["slower"]), str(facts["sentence"])


def target_defaults(method: str, target: Target) -> dict[str, Any]:
    """Options of a method that the board decides where the user does not."""
    if method == "int8" and saturates(target.cpu):
        return {"weight_bits": 7}
    return {}


def specs(plain: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    """Tensors from what a step wrote."""
    return tuple(decode(TensorSpec, {"shape": [], **item}) for item in plain)
