"""The training itself: which float network teaches, which task is trained, and what became of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from edgepress.errors import DataError, SourceError, UsageError
from edgepress.methods import Course, Trained
from edgepress.methods.ternary.config import TernaryConfig
from edgepress.methods.ternary.layers import copied, made_ternary
from edgepress.nn import set_phase
from edgepress.nn.ternary_frozen import freeze, has_ternary
from edgepress.nn.ternary_layers import each_layer
from edgepress.training import History, Plan, Record, fit, told
from edgepress.training.examples import Batch
from edgepress.training.sets import Sets
from edgepress.training.tasks import Task, find_task, run
from edgepress.training.user_data import own_loss

_TOLD = 20  # points of the history that travel in the manifest


def train(module: nn.Module, sets: Sets | None, config: TernaryConfig, course: Course) -> Trained:
    """Train a ternary network from a module.

    Raises:
        DataError: the examples do not fit the network, or the loss is no number.
        SourceError: the network cannot be trained.
        UsageError: the options do not fit the examples, or there is no such device.
    """
    if sets is None:
        network, _ = made_ternary(module, config)
        _check_ranges(network)
        return Trained(_tensors(network), None, {"steps": 0})
    loss = own_loss(config.loss)[0] if config.loss else None
    task = find_task(config.task, loss, sets.train, course.inputs, course.scores)
    device = find_device(config.device)
    plan = config.plan(sets.train.count)
    base = copied(module).to(device).eval()
    _check_called(made_ternary(base, config)[0], task, sets)
    start, scored = _start(base, task, sets, config, has_ternary(module))
    taught = not has_ternary(module) and (start == "float" or config.float_steps != 0)
    if task.kind == "distillation" and not taught:
        raise UsageError(
            "there is neither a target nor a float network to learn from; give targets with the inputs"
        )
    facts = {
        "start": start, "task": task.kind, "data": sets.origin, "data_digest": sets.digest,
        "device": device.type, "seed": config.seed,
    }  # fmt: skip
    reference = None
    if start == "scratch" and config.float_steps != 0:
        float_plan = config.plan(sets.train.count, is_float=True)
        history = _fit(base, task, sets, float_plan, course, "float", device, task.loss)
        reference, scored = _tensors(base), history.best.score
        facts["float_steps"] = history.steps
    teacher = base if taught else None
    network, _ = made_ternary(base, config)
    history = _fit(
        network, task, sets, plan, course, "ternary", device, _loss(task, teacher, config),
        phase=_phases(plan, config.phase), teacher=teacher,
    )  # fmt: skip
    set_phase(network, 1.0)
    _check_ranges(network)
    score = task.score(freeze(network).to(device), sets.held_out, teacher)
    facts |= {
        "steps": history.steps,
        "best_step": history.best.step,
        "score": score,
        "score_name": task.score_name,
        "history": _curve(history),
    }
    if scored is not None and task.kind != "distillation":
        facts["float_score"] = scored
    if task.kind == "classification":
        facts["above_chance"] = score > _chance(task, sets)
    return Trained(_tensors(network), reference, facts)


def _start(
    base: nn.Module, task: Task, sets: Sets, config: TernaryConfig, is_ternary: bool
) -> tuple[str, float | None]:
    """``float`` or ``scratch``, and how the module's own weights score."""
    if task.kind == "distillation" or is_ternary:
        return "float", None
    own = task.score(base, sets.held_out)
    if config.start != "auto":
        return config.start, own if config.start == "float" else None
    if task.kind != "classification":
        return "float", own
    return ("float", own) if own > _chance(task, sets) else ("scratch", None)


def _chance(task: Task, sets: Sets) -> float:
    """The accuracy on what is held out that tells nothing yet: three deviations above what always naming the
    commonest class would score."""
    classes = torch.cat([task.parts(batch)[1][0].reshape(-1) for batch in sets.held_out.in_order(256)])
    commonest = float(torch.bincount(classes.long()).max()) / len(classes)
    return commonest + 3 * math.sqrt(commonest * (1 - commonest) / len(classes))


def _fit(
    network: nn.Module,
    task: Task,
    sets: Sets,
    plan: Plan,
    course: Course,
    stage: str,
    device: torch.device,
    loss: Callable[[nn.Module, Batch], Tensor],
    phase: Callable[[int], float] | None = None,
    teacher: nn.Module | None = None,
) -> History:
    def before(step: int) -> None:
        if phase is not None:
            set_phase(network, phase(step))

    def score(module: nn.Module) -> float:
        if phase is not None:
            set_phase(module, 1.0)
        return task.score(module, sets.held_out, teacher)

    def named(done: int, what: str) -> str:
        # λ beside the loss alone: scores are those of λ = 1.
        share = "" if phase is None or phase(done - 1) == 1 else f" at λ {phase(done - 1):.2f}"
        loss, comma, score = what.partition(",")
        return f"{loss}{share}{comma}{score.replace('score', task.score_name)}"

    def progress(done: int, total: int, what: str = "") -> None:
        course.progress(done, total, f"{stage}, {named(done, what)}")

    def kept(record: Record) -> None:
        course.kept(f"{stage} step {record.step} of {plan.steps}, {named(record.step, told(record))}")

    examples = dataclasses.replace(sets.train, digest=sets.digest)  # a run on other held-out ones is another
    return fit(
        network, examples, loss, plan, score=score, folder=course.folder / stage, before_step=before, device=device,
        progress=progress, kept=kept,
    )  # fmt: skip


def _loss(
    task: Task, teacher: nn.Module | None, config: TernaryConfig
) -> Callable[[nn.Module, Batch], Tensor]:
    """Of targets and of the teacher's outputs, by their weights."""
    weight = 1.0 if task.kind == "distillation" else config.distil if teacher is not None else 0.0

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        x, targets = task.parts(batch)
        outputs = run(module, x)
        if not weight:
            return task.compared(outputs, targets)
        assert teacher is not None
        with torch.no_grad():
            wanted = run(teacher, x)
        distance = task.distance(outputs, wanted, config.temperature)
        return (
            distance if weight == 1.0 else weight * distance + (1 - weight) * task.compared(outputs, targets)
        )

    return loss


def _phases(plan: Plan, share: float) -> Callable[[int], float]:
    """λ of a step, rising from 0 to 1 over a share of the steps."""
    return lambda step: min(1.0, (step + 1) / (share * plan.steps)) if share else 1.0


def find_device(wanted: str) -> torch.device:
    """Where to train: ``cpu``, ``cuda``, or by ``auto`` a CUDA device where there is one.

    Raises:
        UsageError: there is no such device.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UsageError("torch sees no CUDA device here; train with device = 'cpu'")
    if wanted == "cpu" or not there:
        return torch.device("cpu")
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    return torch.device("cuda")


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _check_called(network: nn.Module, task: Task, sets: Sets) -> None:
    """Refuse a layer that the network does not call: it would compute with the float weight.

    Raises:
        SourceError: there is one.
    """
    called: set[str] = set()
    layers: list[str] = []
    hooks = []

    def watch(name: str, layer: nn.Module) -> None:
        layers.append(name)
        hooks.append(layer.register_forward_hook(lambda *_: called.add(name)))

    each_layer(network, watch)
    try:
        with torch.no_grad():
            device = next(iter(network.state_dict().values())).device
            batch = tuple(part.to(device) for part in sets.train.take(torch.arange(1)))
            run(network.eval(), task.parts(batch)[0])
    finally:
        for hook in hooks:
            hook.remove()
    for name in layers:
        if name not in called:
            raise SourceError(
                f"the network does not call its layer {name} (it may take the weight alone), so that it cannot become "
                "ternary; leave it with skip"
            )


def _check_ranges(network: nn.Module) -> None:
    """Refuse a layer whose activations no batch has passed through.

    Raises:
        DataError: there is one.
    """
    for name, layer in network.named_modules():
        seen = getattr(layer, "range", None)
        if seen is not None and hasattr(layer, "dynamic") and not bool(seen.high > seen.low):
            raise DataError(
                f"the layer {name.removesuffix('.quantiser')} knows no range of activations: in training it was given "
                "nothing but zeros, or was not called; train it, or leave it with skip"
            )


def _curve(history: History) -> list[list[float]]:
    """``[step, loss, score]`` at most twenty times, the last among them; no seconds, which do not repeat."""
    records = history.records
    every = -(-len(records) // _TOLD)
    return [
        [each.step, round(each.loss, 6), round(each.score or 0.0, 6)]
        for number, each in enumerate(records)
        if (len(records) - 1 - number) % every == 0
    ]
