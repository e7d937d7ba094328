"""The experiments on ternary networks: files of runs, recipes, resuming, the language model and its text."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgepress.nn import TernaryConv2d, TernaryLinear, ternarise
from edgepress.training.augment import shifted
from edgepress.training.examples import Examples, from_tensors
from tests.benchmarks.ternary import english, language
from tests.benchmarks.ternary.cifar import Network, normalised
from tests.benchmarks.ternary.runs import Run, float_run, read_runs
from tests.benchmarks.ternary.train import Trainer, learning_from

HERE = Path(language.__file__).parent


def _pictures(count: int = 48) -> Examples:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return from_tensors(x, torch.arange(count) % 10)


@pytest.mark.parametrize("name", ["cifar.toml", "sweep.toml"])
def test_a_file_of_runs_has_each_run_once_and_all_that_it_needs(name: str) -> None:
    runs = read_runs(HERE / name)
    assert len({run.name for run in runs}) == len(runs)
    assert {"float", "mean", "median"} == {run.variant for run in runs}


def test_lists_stand_for_every_combination(tmp_path: Path) -> None:
    file = tmp_path / "runs.toml"
    file.write_text('[all]\nsteps = 7\n[runs.a]\nvariant = ["float", "mean"]\nseed = [0, 3]\n')
    assert read_runs(file) == [
        Run("a", variant, seed, steps=7) for variant in ("float", "mean") for seed in (0, 3)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('variant = "mode"', "no variant 'mode'"),
        ("speed = 1", "speed"),
        ('start = "b"', "0 float runs of seed 0 in runs.b"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "runs.toml"
    file.write_text(f"[runs.a]\n{text}\n")
    with pytest.raises(ValueError, match=said):
        read_runs(file)


def test_a_run_begins_as_the_float_one_and_goes_on_where_it_was(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    pictures = _pictures()
    whole = Run("float", steps=2, batch=16, width=8, rate=0.01)
    ternary = Run("ternary", "median", steps=2, batch=16, width=8, rate=0.01, start="float", teacher="float")
    runs = [whole, ternary]
    network, history = Trainer(runs, pictures, tmp_path).trained(ternary)
    assert sum(isinstance(layer, TernaryConv2d) for layer in network.modules()) == 8 - 1
    assert (tmp_path / float_run(runs, "float", 0).name).is_dir()
    again, same = Trainer(runs, pictures, tmp_path).trained(ternary)
    assert same == history
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


def test_who_agrees_with_the_teacher_learns_from_labels_alone() -> None:
    pictures, labels = _pictures(8).batch(0, 8, 0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
    found = learning_from(network)(network, (pictures, labels))
    other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
    apart = learning_from(other)(network, (pictures, labels))
    assert 0 < float(found.detach()) < float(apart.detach())


def test_no_byte_is_told_by_those_that_follow() -> None:
    torch.manual_seed(0)
    network = language.Decoder(64, 2)
    kept = ternarise(network, skip_first=False)
    assert [layer.name for layer in kept] == ["out"]
    x = torch.randint(0, 256, (2, 40))
    changed = x.clone()
    changed[:, 25:] = (changed[:, 25:] + 7) % 256
    with torch.no_grad():
        apart = (network(x) - network(changed)).abs().amax((0, 2))
    assert not apart[:25].any() and bool((apart[25:] > 0).all())


def test_bits_and_bytes_are_counted() -> None:
    network = language.Decoder(32, 1)
    torch.nn.init.zeros_(network.out.weight)
    torch.nn.init.zeros_(network.out.bias)
    text = torch.arange(5 * language.CONTEXT).to(torch.uint8)
    assert language.bits(network, language.windows(text, "")) == pytest.approx(8)
    numbers = sum(each.numel() for each in network.parameters())
    assert language.stored_bytes(network) == 2 * numbers
    ternarise(network, skip_first=False)
    ternary = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, TernaryLinear))
    assert ternary == 12 * 32**2
    assert language.stored_bytes(network) == 2 * (numbers - ternary) + math.ceil(ternary / 4)


def test_a_text_holds_out_every_tenth_document_of_those_that_differ() -> None:
    text = english.split([f"<{number % 20}>" for number in range(25)], "here")
    assert bytes(text.held.tolist()) == b"<9>\n\n<19>\n\n"
    train = bytes(text.train.tolist())
    assert train.count(b"<") == 18 and train.startswith(b"<0>\n\n<1>") and b"<9>" not in train
    assert text.digest != english.split(["<0>"] * 2 + [f"<{n}>" for n in range(2, 20)], "here").digest


def test_first_filters_whiten_and_others_pass_on() -> None:
    pictures = _pictures(32).take(torch.arange(32))[0]
    pictures = (pictures // 4 + torch.arange(32, dtype=torch.uint8)[None, None, None] * 5).to(torch.uint8)
    network = Network(32)
    network.prepare(pictures)
    begin, again = network.start[0], network.pair1[0][0]  # type: ignore[index]
    with torch.no_grad():
        found = begin(normalised(pictures))[:, :, 1:-1, 1:-1].permute(1, 0, 2, 3).flatten(1)
        x = torch.randn(2, 64, 6, 6)
        torch.testing.assert_close(again(x), x)
    torch.testing.assert_close(found[:16], -found[16:])
    second = found[:16] @ found[:16].T / found.shape[1]
    torch.testing.assert_close(second - torch.diag(second.diag()), torch.zeros(16, 16), atol=1e-4, rtol=0)
    assert bool((second.diag() <= 1).all()) and float(second.diag()[0]) > 0.9


def test_pictures_move_as_far_as_a_run_says(tmp_path: Path) -> None:
    still = Run("a", steps=1, batch=48, width=8, shift=0)
    far = Run("b", steps=1, batch=48, width=8, shift=4)
    examples = replace(_pictures(), augment=shifted)
    losses = [Trainer([run], examples, None).trained(run)[1].best.loss for run in (still, still, far)]
    assert losses[0] == losses[1] != losses[2]
