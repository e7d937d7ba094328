"""The training loop: it learns, repeats exactly, goes on exactly after an interruption, and refuses plainly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgepress.errors import DataError, StorageError
from edgepress.training import Plan, fit
from edgepress.training.checkpoint import FILE
from edgepress.training.examples import Batch, Examples, from_tensors

torch.set_num_threads(1)  # threads cost more than they save on networks this small
PLAN = Plan(steps=24, batch=16, rate=0.02, every=4, decay=0.01, decay_until=0.5)


def _examples(flip: bool = True) -> Examples:
    torch.manual_seed(5)
    x = torch.randn(100, 8)
    y = (x[:, 0] * x[:, 1] > 0).long()

    def augment(batch: Batch, generator: torch.Generator) -> Batch:
        return batch[0] + 0.01 * torch.randn(batch[0].shape, generator=generator), batch[1]

    return from_tensors(x, y, augment=augment if flip else None, digest="xor")


def _network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2))


def _loss(module: nn.Module, batch: Batch) -> torch.Tensor:
    return nn.functional.cross_entropy(module(batch[0]), batch[1])


def _score(module: nn.Module) -> float:
    x, y = _examples().take(torch.arange(100))
    return float((module(x).argmax(1) == y).float().mean())


def _weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in module.state_dict().values()])


def test_it_learns_and_ends_with_the_best_weights() -> None:
    module = _network()
    history = fit(module, _examples(), _loss, Plan(steps=200, batch=25, rate=0.02, every=20), score=_score)
    assert history.best.score == max(record.score or 0 for record in history.records) >= 0.9
    assert not module.training and _score(module) == pytest.approx(history.best.score)
    assert history.records[-1].loss < history.records[0].loss


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    found = []
    for seed in (0, 0, 1):
        module = _network()
        fit(module, _examples(), _loss, Plan(steps=12, batch=16, seed=seed))
        found.append(_weights(module))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize(("stop", "often"), [(1, False), (4, False), (11, False), (2, True), (11, True)])
def test_an_interrupted_run_goes_on_to_the_very_same_weights(
    tmp_path: Path, stop: int, often: bool, optimiser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if often:  # a checkpoint after each step, as where steps take minutes
        monkeypatch.setattr("edgepress.training.loop._KEEP_S", -1.0)
    plan = Plan(**{**PLAN.__dict__, "optimiser": optimiser})
    whole = _network()
    wanted = fit(whole, _examples(), _loss, plan, score=_score)

    class Cut(Exception):
        pass

    def cut(step: int) -> None:
        if step == stop:
            raise Cut

    with pytest.raises(Cut):
        fit(_network(), _examples(), _loss, plan, score=_score, folder=tmp_path, before_step=cut)
    resumed = _network()
    seen: list[int] = []
    found = fit(
        resumed,
        _examples(),
        _loss,
        plan,
        score=_score,
        folder=tmp_path,
        before_step=lambda step: seen.append(step),
    )
    assert seen[0] == (stop if often else stop // 4 * 4)
    assert torch.equal(_weights(whole), _weights(resumed))
    assert [(r.step, r.loss, r.score) for r in found.records] == [
        (r.step, r.loss, r.score) for r in wanted.records
    ]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, second = _network(), _network()
    fit(first, _examples(), _loss, PLAN, folder=tmp_path)
    fit(second, _examples(), _loss, PLAN, folder=tmp_path, before_step=lambda step: pytest.fail("trained"))
    assert torch.equal(_weights(first), _weights(second))


def test_patience_ends_a_run_that_gets_no_better() -> None:
    plan = Plan(steps=400, batch=16, every=10, patience=3)
    history = fit(_network(), _examples(), _loss, plan, score=lambda module: 0.5)
    assert history.steps == 40 and history.best.step == 10
    later = Plan(**{**plan.__dict__, "patience_from": 0.5})
    assert fit(_network(), _examples(), _loss, later, score=lambda module: 0.5).steps == 230


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    fit(_network(), _examples(), _loss, PLAN, folder=tmp_path)
    other = Plan(**{**PLAN.__dict__, "seed": 7})
    with pytest.raises(DataError, match="of another run"):
        fit(_network(), _examples(), _loss, other, folder=tmp_path)
    path = tmp_path / FILE
    content = path.read_bytes()
    for cut in (0, 7, 100, len(content) - 9):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError, match="is damaged"):
            fit(_network(), _examples(), _loss, PLAN, folder=tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written to"):
        fit(_network(), _examples(), _loss, PLAN, folder=place / "inside")


def test_a_loss_that_is_no_number_ends_training() -> None:
    with pytest.raises(DataError, match="the loss is nan at step 0"):
        fit(_network(), _examples(), lambda m, b: _loss(m, b) * float("nan"), PLAN)


def test_weight_decay_spares_vectors_and_ends() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    zero = from_tensors(torch.zeros(8, 4))
    before = module[0].get_parameter("weight").detach().clone()
    plan = Plan(steps=10, batch=8, rate=0.1, warmup=0, shape="constant", decay=0.5, decay_until=0.5)
    fit(module, zero, lambda m, b: m(b[0]).sum() * 0, plan)
    torch.testing.assert_close(module[0].get_parameter("weight"), before * (1 - 0.1 * 0.5) ** 5)
    assert (module[1].get_parameter("weight") == 1).all()


@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 1 << 31), st.integers(0, 3))
def test_every_round_holds_every_example_at_most_once(count: int, size: int, seed: int, turn: int) -> None:
    examples = from_tensors(torch.arange(count))
    size = min(size, count)
    each = count // size
    seen = torch.cat([examples.batch(turn * each + n, size, seed)[0] for n in range(each)])
    assert len(set(seen.tolist())) == len(seen) == each * size


def test_a_batch_does_not_depend_on_those_asked_for_before() -> None:
    drawn: list[list[int]] = []

    def take(at: torch.Tensor) -> tuple[torch.Tensor]:
        drawn.append(at.tolist())
        at.zero_()  # what is asked for is the taker's own
        return (at,)

    examples = Examples(50, take)
    asked = [(0, 3), (1, 3), (20, 3), (0, 4), (1, 3), (0, 3), (20, 3), (0, 4)]  # steps and seeds
    for step, seed in asked:
        examples.batch(step, 16, seed)
    assert drawn[4:] == [drawn[1], drawn[0], drawn[2], drawn[3]]
    assert len({tuple(each) for each in drawn}) == 4 and all(len(set(each)) == 16 for each in drawn)


@given(
    st.integers(1, 2000), st.floats(0, 1), st.sampled_from(["cosine", "linear", "constant"]), st.floats(0, 1)
)
def test_rates_rise_fall_and_never_leave_their_bounds(
    steps: int, warmup: float, shape: str, floor: float
) -> None:
    plan = Plan(steps=steps, warmup=warmup, shape=shape, floor=floor, rate=1.0)  # type: ignore[arg-type]
    rates = [plan.rate_at(step) for step in range(steps)]
    assert all(0 <= rate <= 1 + 1e-9 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch": 0}, {"warmup": 1.5}, {"rate": -1}, {"patience": -1}]
)
def test_plans_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Plan(**wrong)  # type: ignore[arg-type]
