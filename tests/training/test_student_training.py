"""A student is trained from pictures to a file: it learns, goes on where it was, and keeps apart what it should."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from edgepress.coding.split import integers, server_input
from edgepress.errors import DataError, SourceError, UsageError
from edgepress.inputs import ImageInput
from edgepress.nn.student.student_file import read_student_file
from edgepress.source import Source
from edgepress.tensor import TensorSpec
from edgepress.training.plan import Plan
from edgepress.training.student_head import HeadRecipe, train_head
from edgepress.training.student_pictures import cut_out, find_pictures
from edgepress.training.student_recipe import StudentRecipe, train_student

torch.set_num_threads(1)  # threads cost more than they save on networks this small
SPEC = TensorSpec("image", (1, 3, 32, 32))
KIND = ImageInput(mean=(127.0,), std=(128.0,))
PLAN = Plan(steps=24, batch=6, rate=3e-3, every=12)
FORM = {"levels": 2, "latents": 4, "hidden": 6, "width": 8, "blocks": 1}


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).eval()  # fmt: skip


def source() -> Source:
    return Source(
        "net", "torch", "digest", {"name": "net.py:make"}, network, (SPEC,), ("scores",), {"image": KIND}
    )


def recipe(**changes: object) -> StudentRecipe:
    usual = StudentRecipe(
        source(),
        form=FORM,
        betas=(1.0, 0.1),
        maps=PLAN,
        answering=dataclasses.replace(PLAN, steps=12),
        keep=4,
    )
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(72), np.arange(80))[..., None]
    for number in range(16):
        waves = np.sin(ramp * generator.uniform(0.02, 0.4, 3) + generator.uniform(0, 6, 3))
        pixels = 127 + 90 * waves + generator.normal(0, 8, (72, 80, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:02d}.png")
    return folder


@pytest.mark.parametrize("layer", ["", "2"])
def test_a_student_learns_and_is_written(photographs: Path, tmp_path: Path, layer: str) -> None:
    output = tmp_path / "student.safetensors"
    frozen = train_student(recipe(layer=layer), [photographs], output, tmp_path / "run")
    history = frozen.facts["maps"]["history"]
    assert history[-1][1] < history[0][1]  # the loss
    assert frozen.rates[0].bytes is not None and frozen.rates[1].bytes is not None
    assert frozen.rates[0].bytes < frozen.rates[1].bytes  # from dear to cheap
    assert frozen.facts["kept_apart"] == ["00.png", "04.png", "08.png", "12.png"]
    assert not set(frozen.facts["kept_apart"]) & set(frozen.facts["trained_on"])
    back = read_student_file(output, lambda wanted: network())
    assert back.identity == frozen.identity and back.facts == frozen.facts
    taken = torch.randn(1, 5, 8, 8)
    with torch.no_grad():
        given, wanted = back.heads["server"].module(taken), frozen.heads["server"].module(taken)
    assert torch.allclose(given, wanted, atol=1e-5)
    assert back.macs["device"] > 0 and back.macs["teacher"] > 0


def test_a_run_that_was_stopped_gives_the_same_student(photographs: Path, tmp_path: Path) -> None:
    whole = train_student(recipe(), [photographs], tmp_path / "a.safetensors", tmp_path / "a")

    def stop(done: int, total: int, what: str = "") -> None:
        if total == PLAN.steps and done == 18:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_student(recipe(), [photographs], tmp_path / "b.safetensors", tmp_path / "b", progress=stop)
    again = train_student(recipe(), [photographs], tmp_path / "b.safetensors", tmp_path / "b")
    assert again.identity == whole.identity
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_student_goes_on_from_another(photographs: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.safetensors"
    frozen = train_student(recipe(answering=None), [photographs], first, tmp_path / "first")
    still = dataclasses.replace(PLAN, steps=1, rate=1e-9)
    later = recipe(answering=None, start=first, maps=still)
    after = train_student(later, [photographs], tmp_path / "later.safetensors", tmp_path / "later")
    assert np.allclose(after.steps, frozen.steps, rtol=1e-4)
    assert after.facts["start"]["name"] == "first.safetensors"
    with pytest.raises(UsageError, match="has the form"):
        other = recipe(start=first, form={**FORM, "latents": 5})
        train_student(other, [photographs], tmp_path / "other.safetensors", tmp_path / "other")
    with pytest.raises(SourceError, match="neither a codec's file"):
        train_student(recipe(start=photographs / "00.png"), [photographs], tmp_path / "c", tmp_path / "d")


def colours() -> nn.Module:
    """Another teacher: three numbers of a picture, from an input of 0 to 1."""
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)
    ).eval()


@pytest.mark.parametrize("layer", ["", "1"])
def test_a_second_head_reads_the_same_stream(photographs: Path, tmp_path: Path, layer: str) -> None:
    first, output = tmp_path / "first.safetensors", tmp_path / "two.safetensors"
    one = train_student(recipe(answering=None), [photographs], first, tmp_path / "run")
    other = dataclasses.replace(
        source(), load=colours, digest="other", prepare={"image": ImageInput(std=(255.0,))}
    )
    teachers = {"digest": network, "other": colours}
    wanted = HeadRecipe(first, "colours", other, layer, plan=PLAN, keep=4)
    two = train_head(
        wanted, [photographs], output, tmp_path / "head", find_teacher=lambda asked: teachers[asked.digest]()
    )
    assert two.identity == one.identity and list(two.heads) == ["server", "colours"]
    history = two.facts["head colours"]["history"]
    assert history[-1][1] < history[0][1]
    back = read_student_file(output, lambda asked: teachers[asked.digest]())
    picture = np.asarray(Image.open(photographs / "01.png"))
    x = torch.from_numpy(KIND.from_array(picture, SPEC))
    with torch.no_grad():
        sent = integers(back.encoder(x)[0].numpy(), back.steps[1], 1023)
        taken = torch.from_numpy(server_input(sent, back.steps[1], back.rates[1].plane))
        for name in back.heads:
            assert torch.allclose(back.heads[name].module(taken), two.heads[name].module(taken), atol=1e-5)
        if not layer:  # what the head's decoder gives is the picture as its own teacher takes it
            restored = back.heads["colours"].module.decoder(taken)  # type: ignore[operator]
            assert 0.2 < float(restored.mean()) < 0.8
    again = dataclasses.replace(wanted, student=output)
    with pytest.raises(UsageError, match="has a head colours already"):
        train_head(
            again, [photographs], output, tmp_path / "x", find_teacher=lambda asked: teachers[asked.digest]()
        )
    with pytest.raises(UsageError, match="cannot be called"):
        dataclasses.replace(wanted, name="device")


def test_without_a_price_eight_bits_are_sent_for_each_latent(photographs: Path, tmp_path: Path) -> None:
    plain = recipe(betas=(0.0,), answering=None, form={**FORM, "latents": 2})
    frozen = train_student(plain, [photographs], tmp_path / "plain.safetensors", tmp_path / "run")
    (rate,) = frozen.rates
    assert rate.bytes == pytest.approx(
        2 * 8 * 8 + 50, rel=0.02
    )  # two latents of 8 x 8, and a stream's own bytes


def test_what_is_kept_apart_can_be_listed(photographs: Path, tmp_path: Path) -> None:
    names = tmp_path / "kept.txt"
    names.write_text("03.png\n05.png\n\n")
    found = find_pictures([photographs], KIND, SPEC, names)
    assert found.names(found.apart) == ["03.png", "05.png"] and len(found.trained) == 14
    names.write_text("03.png\n99.png\n")
    with pytest.raises(DataError, match=r"99\.png, which is not among"):
        find_pictures([photographs], KIND, SPEC, names)
    with pytest.raises(DataError, match="at most half"):
        find_pictures([photographs], KIND, SPEC, 9)


def test_cut_outs_have_their_size_and_stay_within_the_picture() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.arange(60 * 90).reshape(1, 60, 90).repeat(3, 1, 1).float() / 21
    for size in ((32, 32), (16, 48)):
        made = torch.stack([cut_out(picture, size, generator) for _ in range(40)])
        assert made.shape == (40, 3, *size)
        assert made.min() >= picture.min() - 1e-3 and made.max() <= picture.max() + 1e-3
        assert (made[:, 0, :, 0] > made[:, 0, :, -1]).all(1).float().mean().item() not in (
            0.0,
            1.0,
        )  # mirrored


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prepare": {}}, "does not say how its input image is made"),
        ({"inputs": (SPEC, SPEC)}, "takes 2 inputs"),
        ({"kind": "onnx"}, "no torch network"),
        ({"inputs": (TensorSpec("image", (1, 1, 32, 32)),)}, "takes float32 RGB pictures"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(
    photographs: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    given = dataclasses.replace(source(), **changes)  # type: ignore[arg-type]
    with pytest.raises((UsageError, SourceError), match=said):
        train_student(recipe(teacher=given), [photographs], tmp_path / "out.safetensors", tmp_path / "run")
    assert not (tmp_path / "out.safetensors").exists()


def test_prices_go_from_dear_to_cheap() -> None:
    with pytest.raises(UsageError, match="from dear to cheap"):
        recipe(betas=(0.1, 1.0))
