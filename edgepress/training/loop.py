"""The loop: batches, gradients, schedules, scores, checkpoints; the same numbers for the same seed."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgepress.errors import DataError
from edgepress.progress import Progress, silent
from edgepress.training import checkpoint
from edgepress.training.examples import Batch, Examples
from edgepress.training.plan import Plan

Loss = Callable[[nn.Module, Batch], Tensor]  # a number to make small
Score = Callable[[nn.Module], float]  # the higher the better
_KEEP_S = 300.0  # a checkpoint is kept after so many seconds where intervals are longer


@dataclass(frozen=True)
class Record:
    """What was noted at a step: ``loss`` is the mean since the record before; ``score`` is None without one."""

    step: int
    loss: float
    score: float | None
    rate: float
    seconds: float


@dataclass(frozen=True)
class History:
    """A finished run.

    Attributes:
        records: one an interval, in order.
        steps: steps done; fewer than planned where the run ended early.
        best: the best record by score; the last where nothing was scored.
    """

    records: tuple[Record, ...]
    steps: int
    best: Record


def fit(
    module: nn.Module,
    examples: Examples,
    loss: Loss,
    plan: Plan,
    *,
    score: Score | None = None,
    folder: Path | None = None,
    before_step: Callable[[int], None] | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
    kept: Callable[[Record], None] | None = None,
    faster: Callable[[str], float] | None = None,
) -> History:
    """Train a module in place; it ends with the weights of the best score, in evaluation mode.

    Args:
        examples: batches come from them by ``plan.seed`` alone.
        loss: ``loss(module, batch)``.
        score: ``score(module)`` in evaluation mode, without gradients, at each interval.
        folder: keeps a checkpoint, at each interval and every five minutes; a run found there goes on where it was.
        before_step: told the number of each step, to set λ or the like.
        kept: told the record of each step whose checkpoint is kept.
        faster: how many times the plan's learning rate a parameter has, by its name; 1 for all by default.

    Raises:
        DataError: the loss is NaN or infinite, or the folder's checkpoint is damaged or of another run.
        StorageError: a checkpoint cannot be written.
    """
    device = torch.device(device)
    torch.manual_seed(plan.seed)
    module.to(device).train()
    optimiser = _optimiser(module, plan, faster)
    identity = _identity(module, examples, plan) if folder is not None else ""
    records: list[Record] = []
    best: tuple[Record, dict[str, Tensor]] | None = None
    start, spent = 0, 0.0
    total, counted = 0.0, 0  # of the losses since the last record
    state = checkpoint.read(folder, identity) if folder is not None else None
    if state is not None:
        start, spent, records, best, (total, counted) = _resume(state, module, optimiser, device)
    began = time.monotonic() - spent
    saved = time.monotonic()
    for step in range(start, plan.steps):
        if _patience_is_over(records, plan):
            break
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(step) * group["times"]
            group["weight_decay"] = plan.decay_at(step) if group["decays"] else 0.0
        if before_step is not None:
            before_step(step)
        batch = tuple(part.to(device) for part in examples.batch(step, plan.batch, plan.seed))
        with _precision(plan, device):
            value = loss(module, batch)
        if not bool(torch.isfinite(value)):
            raise DataError(
                f"the loss is {float(value.detach())} at step {step}; lower the learning rate or look at the examples"
            )
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        if plan.clip:
            torch.nn.utils.clip_grad_norm_(module.parameters(), plan.clip)
        optimiser.step()
        total, counted = total + float(value.detach()), counted + 1
        mark = Record(step + 1, total / counted, None, plan.rate_at(step), time.monotonic() - began)
        is_due = (step + 1) % plan.interval == 0 or step + 1 == plan.steps
        if is_due:
            if score is not None:
                with _evaluating(module):
                    mark = replace(mark, score=score(module))
            records.append(mark)
            if best is None or mark.score is None or best[0].score is None or mark.score > best[0].score:
                best = (mark, {name: value.clone() for name, value in module.state_dict().items()})
            total, counted = 0.0, 0
        progress(step + 1, plan.steps, told(mark))
        if folder is not None and (is_due or time.monotonic() - saved > _KEEP_S):
            checkpoint.write(
                folder, _state(identity, module, optimiser, mark, records, best, (total, counted), device)
            )
            saved = time.monotonic()
            if kept is not None:
                kept(mark)
    assert best is not None
    module.load_state_dict(best[1])
    module.eval()
    return History(tuple(records), records[-1].step, best[0])


def _optimiser(module: nn.Module, plan: Plan, faster: Callable[[str], float] | None) -> torch.optim.Optimizer:
    kinds: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, each in module.named_parameters():
        if each.requires_grad:
            kinds.setdefault((faster(name) if faster else 1.0, each.dim() >= 2), []).append(each)
    groups = [
        {"params": kinds[kind], "times": kind[0], "decays": kind[1]}
        for kind in sorted(kinds, key=lambda kind: (kind[0], not kind[1]))
    ]
    if plan.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=plan.rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98))


def _identity(module: nn.Module, examples: Examples, plan: Plan) -> str:
    numbers = asdict(plan)
    del numbers["patience_from"]  # which changes no step
    digest = hashlib.sha256(repr((numbers, examples.count, examples.digest)).encode())
    for name, value in module.state_dict().items():
        digest.update(
            name.encode() + value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def _state(
    identity: str,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    mark: Record,
    records: list[Record],
    best: tuple[Record, dict[str, Tensor]] | None,
    running: tuple[float, int],
    device: torch.device,
) -> checkpoint.State:
    facts: dict[str, Any] = {
        "records": [asdict(record) for record in records],
        "best": asdict(best[0]) if best is not None else None,
        "running": running,
        "seconds": mark.seconds,
    }
    return checkpoint.State(
        mark.step, identity, module.state_dict(), checkpoint.optimiser_tensors(optimiser),
        best[1] if best is not None else {}, facts, torch.get_rng_state(),
        torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    )  # fmt: skip


def _resume(
    state: checkpoint.State, module: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device
) -> tuple[int, float, list[Record], tuple[Record, dict[str, Tensor]] | None, tuple[float, int]]:
    try:
        module.load_state_dict(state.module)
        checkpoint.load_optimiser(optimiser, state.optimiser)
        if state.random is not None:
            torch.set_rng_state(state.random)
        if state.device_random is not None and device.type == "cuda":
            torch.cuda.set_rng_state(state.device_random, device)
        facts = state.facts
        records = [Record(**each) for each in facts["records"]]
        best = (Record(**facts["best"]), state.best) if facts["best"] is not None else None
        total, counted = facts.get("running", (0.0, 0))
        seconds = facts["seconds"] if "seconds" in facts else records[-1].seconds
        return state.step, float(seconds), records, best, (float(total), int(counted))
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(
            f"the checkpoint does not hold what its run needs ({type(error).__name__}); remove it to begin again"
        ) from None


def _patience_is_over(records: list[Record], plan: Plan) -> bool:
    first = plan.patience_from * plan.steps
    scores = [record.score for record in records if record.score is not None and record.step >= first]
    if not plan.patience or not scores:
        return False
    return len(scores) - 1 - scores.index(max(scores)) >= plan.patience


def _precision(plan: Plan, device: torch.device) -> Any:
    if plan.precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    state = torch.get_rng_state()
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train()
        torch.set_rng_state(state)


def told(record: Record) -> str:
    """A record in words."""
    score = "" if record.score is None else f", score {record.score:.4f}"
    return f"loss {record.loss:.4f}{score}"
