"""Students: the prior is a distribution, sizes are as the form says, and a file gives back what was written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgepress.coding.split import integers, read_split, read_steps, server_input, steps_to_bytes
from edgepress.errors import BundleError, SourceError, UsageError
from edgepress.inputs import ImageInput
from edgepress.nn.student.config import StudentConfig
from edgepress.nn.student.cut import cut
from edgepress.nn.student.frozen import FrozenStudent, Head, Teacher, untrained
from edgepress.nn.student.gdn import DivisiveNorm
from edgepress.nn.student.prior import FactorisedPrior
from edgepress.nn.student.student import Student
from edgepress.nn.student.student_file import halved, is_student_file, read_student_file, write_student
from edgepress.tensor import TensorSpec

torch.set_num_threads(1)  # threads cost more than they save on networks this small
FORM = StudentConfig(picture=(3, 32, 48), levels=2, latents=4, hidden=6, width=8, blocks=1, rates=2)


def teacher() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    ).eval()


def student(form: StudentConfig = FORM, layer: str = "") -> FrozenStudent:
    torch.manual_seed(0)
    spec = TensorSpec("image", (1, 3, 32, 48))
    about = Teacher("net.py:make", "0" * 64, layer, spec, ImageInput(mean=(127.0,), std=(128.0,)), "scores")
    rest = cut(teacher(), torch.zeros(spec.shape), layer, ()).tail
    frozen = untrained(rest, about, form, (1.0, 0.1))
    halved(frozen.encoder)
    halved(frozen.heads["server"].module.decoder)  # type: ignore[arg-type]
    return frozen


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), step=st.floats(0.2, 5.0))
def test_the_prior_gives_probabilities_that_sum_to_one(seed: int, step: float) -> None:
    torch.manual_seed(seed)
    prior = FactorisedPrior(3)
    values = torch.arange(-1500, 1501) * step
    bits = prior.bits(values.repeat(3, 1)[None], torch.full((1, 3), step))
    assert torch.all(bits >= 0)
    assert torch.allclose((0.5 ** bits.double()).sum(2), torch.ones(1, 3, dtype=torch.float64), atol=2e-3)


def test_the_prior_learns_where_values_are() -> None:
    torch.manual_seed(0)
    prior, step = FactorisedPrior(2), torch.ones(1, 2)
    values = torch.randn(1, 2, 1000) * torch.tensor([0.5, 8.0])[:, None] + torch.tensor([3.0, -5.0])[:, None]
    values = values + torch.rand_like(values) - 0.5
    optimiser = torch.optim.Adam(prior.parameters(), 0.1)
    for _ in range(100):
        loss = prior.bits(values, step).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    bits = prior.bits(values, step).mean((0, 2))
    least = [np.log2(scale * np.sqrt(2 * np.pi * np.e)) for scale in (np.sqrt(0.25 + 1 / 12), 8.0)]
    assert least[0] - 0.05 < bits[0] < least[0] + 0.4 and least[1] - 0.05 < bits[1] < least[1] + 0.3


def test_divisive_normalisation_is_its_formula() -> None:
    torch.manual_seed(0)
    norm, back = DivisiveNorm(3), DivisiveNorm(3, inverse=True)
    with torch.no_grad():
        norm.gamma.uniform_(0, 1)
    back.load_state_dict(norm.state_dict())
    x = torch.randn(2, 3, 4, 5)
    scale = norm.beta.abs()[:, None, None] + 1e-3 + torch.einsum("ij,njhw->nihw", norm.gamma.abs(), x.abs())
    assert torch.allclose(norm(x), x / scale, atol=1e-6)
    assert torch.allclose(back(x), x * scale, atol=1e-6)


@pytest.mark.parametrize("norm", ["relu", "gdn"])
@pytest.mark.parametrize("features", [None, (6, 16, 24), (6, 8, 12), (7, 4, 6)])
def test_sizes_are_as_the_form_says(norm: str, features: tuple[int, int, int] | None) -> None:
    form = dataclasses.replace(FORM, norm=norm, features=features)  # type: ignore[arg-type]
    whole = Student(form).eval()
    with torch.no_grad():
        latents = whole.encoder(torch.randn(3, 3, 32, 48))
        assert latents.shape == (3, 4, 8, 12)
        rate = torch.tensor([0, 1, 1])
        sent = whole.symbols(latents, rate)
        made = whole.decoder(whole.taken(whole.restored(sent, rate), rate))
    assert made.shape == (3, *(features or (3, 32, 48)))
    assert torch.equal(sent, sent.round())


def test_torch_and_numpy_round_alike() -> None:
    whole = Student(FORM).eval()
    with torch.no_grad():
        latents = whole.encoder(torch.randn(1, 3, 32, 48))
        for number in range(2):
            rate = torch.tensor([number])
            sent = integers(latents[0].numpy(), whole.log_steps.exp()[number].numpy(), 1023)
            assert np.array_equal(sent, whole.symbols(latents, rate)[0].numpy())
            taken = server_input(sent, whole.log_steps.exp()[number].numpy(), float(whole.planes()[number]))
            assert np.array_equal(
                taken, whole.taken(whole.restored(whole.symbols(latents, rate), rate), rate).numpy()
            )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"picture": (3, 30, 48), "scale": (1.0,) * 3}, "multiples of 4"),
        ({"features": (4, 12, 24)}, "power of two"),
        ({"latents": 0}, "latents is from 1"),
        ({"scale": (1.0,)}, "one a channel"),
    ],
)
def test_a_form_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        dataclasses.replace(FORM, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("layer", ["", "2"])
def test_a_file_gives_the_student_back(tmp_path: Path, layer: str) -> None:
    form = dataclasses.replace(FORM, features=(6, 16, 24) if layer else None)
    frozen, path = student(form, layer), tmp_path / "student.safetensors"
    write_student(path, frozen)
    assert is_student_file(path)
    back = read_student_file(path, lambda wanted: teacher())
    assert back.identity == frozen.identity and back.rates == frozen.rates and back.config == frozen.config
    taken = torch.randn(1, 5, 8, 12)
    with torch.no_grad():
        assert torch.equal(back.heads["server"].module(taken), frozen.heads["server"].module(taken))
    write_student(tmp_path / "again.safetensors", back)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_what_was_changed_in_the_teacher_is_in_the_file(tmp_path: Path) -> None:
    frozen, path = student(), tmp_path / "student.safetensors"
    head = frozen.heads["server"]
    with torch.no_grad():
        head.module.rest.get_parameter("1.weight").fill_(0.5)  # type: ignore[union-attr]
    changed = Head(head.module, head.teacher, ("1.weight",), head.config)
    write_student(path, dataclasses.replace(frozen, heads={"server": changed}))
    back = read_student_file(path, lambda wanted: teacher())
    assert bool((back.heads["server"].module.rest.get_parameter("1.weight") == 0.5).all())  # type: ignore[union-attr]


def test_the_identity_is_of_what_streams_mean() -> None:
    frozen = student()
    head = frozen.heads["server"]
    assert dataclasses.replace(frozen, heads={"server": head, "colour": head}).identity == frozen.identity
    assert dataclasses.replace(frozen, steps=frozen.steps * 2).identity != frozen.identity
    with torch.no_grad():
        frozen.encoder.linear.weight[0, 0] += 1
    assert dataclasses.replace(frozen).identity != student().identity


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    write_student(path, student())
    data = path.read_bytes()
    for bad in (data[:-9], data[:40], b"", data.replace(b'"form\\": 1', b'"form\\": 7')):
        path.write_bytes(bad)
        with pytest.raises(SourceError, match=r"get the file anew|update edgepress"):
            read_student_file(path, lambda wanted: teacher())


def test_another_teacher_of_the_zoo_is_refused(tmp_path: Path) -> None:
    frozen, path = student(), tmp_path / "student.safetensors"
    head = frozen.heads["server"]
    about = dataclasses.replace(head.teacher, name="efficientnet-lite0")
    write_student(
        path, dataclasses.replace(frozen, heads={"server": dataclasses.replace(head, teacher=about)})
    )
    with pytest.raises(SourceError, match="not the network that the student was distilled from"):
        read_student_file(path)


def test_the_record_is_read_back_and_checked() -> None:
    frozen = student()
    split = frozen.description()
    assert read_split(split.to_bytes(), "it") == split
    assert np.array_equal(read_steps(steps_to_bytes(frozen.steps, split), split, "it"), frozen.steps)
    for key, value in (("latents", 0), ("identity", "x"), ("heads", ["local"]), ("rates", []), ("stray", 1)):
        data = json.dumps({**json.loads(split.to_bytes()), key: value}).encode()
        with pytest.raises(BundleError, match="damaged"):
            read_split(data, "it")
    with pytest.raises(BundleError, match="take 4 bytes"):
        read_steps(b"\0" * 4, split, "it")
    with pytest.raises(BundleError, match="are none"):
        read_steps(b"\0" * frozen.steps.nbytes, split, "it")


@given(latent=st.floats(width=32), step=st.floats(0.0078125, 128, width=32))
def test_integers_stay_in_their_range(latent: float, step: float) -> None:
    made = integers(np.full((1, 1, 1), latent, np.float32), np.array([step], np.float32), 1023)
    assert made.dtype == np.int16 and abs(int(made[0, 0, 0])) <= 1023
