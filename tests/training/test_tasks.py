"""Tasks: losses and scores by their formulas, found from the targets, with targets of several forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgepress.distill import relative_error, score_divergence
from edgepress.errors import DataError, SourceError, UsageError
from edgepress.tensor import TensorSpec
from edgepress.training.examples import from_tensors
from edgepress.training.tasks import Task, find_task

ROW = (TensorSpec("x", (1, 6)),)
torch.manual_seed(2)
X = torch.randn(300, 6)


def test_the_targets_tell_the_task() -> None:
    for targets, kind in (
        ((X[:, 0] > 0).long(), "classification"),
        (X[:, :2], "regression"),
        (None, "distillation"),
    ):
        examples = from_tensors(X) if targets is None else from_tensors(X, targets)
        task = find_task("auto", None, examples, ROW, scores=False)
        assert task.kind == kind and task.scores == (kind == "classification")


def test_accuracy_and_errors_by_their_definitions() -> None:
    net = nn.Linear(6, 3)
    classes = X[:, :3].argmax(1)
    with torch.no_grad():
        right = float((net(X).argmax(1) == classes).float().mean())
        task = find_task("auto", None, from_tensors(X, classes), ROW, False)
        assert task.score(net, from_tensors(X, classes)) == pytest.approx(right)
        assert task.loss(net, (X, classes)) == pytest.approx(float(functional.cross_entropy(net(X), classes)))
        wanted = -float((net(X) - X[:, :3]).square().mean())
        task = find_task("auto", None, from_tensors(X, X[:, :3]), ROW, False)
        assert task.score(net, from_tensors(X, X[:, :3])) == pytest.approx(wanted, rel=1e-5)


def test_a_class_for_each_token_or_pixel() -> None:
    tokens = Task("classification", (TensorSpec("t", (1, 5), "int64"),))
    t = torch.randint(0, 9, (4, 5))
    table = nn.Embedding(9, 9)
    loss = functional.cross_entropy(table(t).reshape(-1, 9), t.reshape(-1))
    assert float(tokens.loss(table, (t, t)).detach()) == pytest.approx(float(loss.detach()))
    pixels = Task("classification", (TensorSpec("x", (1, 3, 4, 4)),))
    x, y = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    assert pixels.loss(nn.Identity(), (x, y)) == pytest.approx(float(functional.cross_entropy(x, y)))


def test_a_student_that_agrees_has_no_distance() -> None:
    a, b = torch.randn(2, 50, 8)
    for temperature in (1.0, 4.0):
        soft = [functional.softmax(each / temperature, 1) for each in (b, a)]
        wanted = temperature**2 * (soft[0] * (soft[0] / soft[1]).log()).sum(1).mean()
        torch.testing.assert_close(score_divergence(a, b, temperature), wanted)
    assert float(score_divergence(a, a)) == pytest.approx(0, abs=1e-6) and float(relative_error(a, a)) == 0
    assert float(relative_error(torch.zeros(9), torch.randn(9))) == pytest.approx(1)
    task = Task("distillation", ROW)
    nets = nn.Linear(6, 2), nn.Linear(6, 2)
    assert task.score(nets[0], from_tensors(X), nets[0]) == pytest.approx(120)
    assert task.score(nets[0], from_tensors(X), nets[1]) < 10


@pytest.mark.parametrize(
    ("wanted", "targets", "kind", "words"),
    [
        ("classification", None, UsageError, "needs targets"),
        ("classification", X[:, 0], DataError, "whole numbers"),
    ],
)
def test_tasks_that_do_not_fit(
    wanted: str, targets: torch.Tensor | None, kind: type[Exception], words: str
) -> None:
    examples = from_tensors(X) if targets is None else from_tensors(X, targets)
    with pytest.raises(kind, match=words):
        find_task(wanted, None, examples, ROW, False)


def test_examples_that_do_not_fit_the_network() -> None:
    for inputs, x, kind, words in (
        (
            ROW,
            torch.zeros(3, 5),
            DataError,
            r"hold float32 5 for the input x, and the network takes float32 6",
        ),
        (ROW, torch.zeros(3, 6, dtype=torch.uint8), DataError, "hold uint8 6"),
        (ROW * 2, X, DataError, "holds 1 tensors, and the network takes 2"),
        ((TensorSpec("x", (4, 6)),), X, UsageError, "give --input x:1x"),
    ):
        with pytest.raises(kind, match=words):
            find_task("auto", None, from_tensors(x), inputs, False)
    task = Task("classification", ROW)
    for classes, words in ((torch.tensor([0, 3]), "the class 3"), (torch.tensor([-1, 0]), "the class -1")):
        with pytest.raises(DataError, match=words):
            task.loss(nn.Linear(6, 3), (X[:2], classes))
    with pytest.raises(DataError, match="one class for each row"):
        task.loss(nn.Linear(6, 3), (X[:2], torch.zeros(2, 4)))
    with pytest.raises(SourceError, match="failed on 2 examples at once"):
        task.loss(nn.Linear(7, 3), (X[:2], torch.zeros(2)))
