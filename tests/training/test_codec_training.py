"""Training a codec: from folders to a file, resumed, and with what is wrong named."""

from __future__ import annotations

import dataclasses
import json
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgepress.coding.coder import PortableCoder
from edgepress.coding.frozen import read_codings
from edgepress.errors import DataError, SourceError, UsageError
from edgepress.nn.codec import Codec, CodecConfig
from edgepress.nn.codec.codec import mirrored
from edgepress.nn.codec.codec_file import is_codec_file, read_codec_file, write_codec
from edgepress.nn.codec.wavelet_packet import analysis_halo
from edgepress.training import codec as training
from edgepress.training.codec_begin import begin, gathered, inner_form
from edgepress.training.codec_recipe import CodecRecipe, recipe_for, train
from edgepress.training.material import Material, scaled
from edgepress.training.plan import Plan
from edgepress.training.windows import window, window_sets

SMALL = CodecConfig(axes=2, channels=3, levels=2, latents=6, width=8, blocks=1)


def _pictures(folder: Path, count: int = 4, size: int = 48) -> Path:
    """Smooth ones, so that a codec has something to find."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[0:size, 0 : size + 8] / size
    for number in range(count):
        waves = [np.sin(6 * (rows * (1 + number) + columns * k) + k) for k in (0.5, 1.0, 2.0)]
        pixels = np.stack(waves, 2) * 100 + 128
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def _recipe(**changes: object) -> CodecRecipe:
    recipe = CodecRecipe(
        SMALL, Plan(steps=6, batch=2, rate=1e-3, every=3), window=32, held_out=2, rates=(0.5, 1.5)
    )
    return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]


def test_a_codec_is_trained_stopped_and_resumed(tmp_path: Path) -> None:
    """To the same file; which holds rates that code what the codec makes of pictures."""
    data = _pictures(tmp_path / "pictures")
    whole = train(_recipe(), [data], tmp_path / "a.safetensors", tmp_path / "a.run", command="made so")

    def stop(done: int, total: int, what: str = "") -> None:
        if done == 4 and total == 6:
            raise KeyboardInterrupt

    for progress in (stop, lambda done, total, what="": None):
        try:
            train(
                _recipe(),
                [data],
                tmp_path / "b.safetensors",
                tmp_path / "b.run",
                command="made so",
                progress=progress,
            )
        except KeyboardInterrupt:
            assert not (tmp_path / "b.safetensors").exists()
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert (tmp_path / "a.run" / "pictures" / "000003.png").is_file()

    again = read_codec_file(tmp_path / "a.safetensors")
    assert is_codec_file(tmp_path / "a.safetensors")
    assert again.identity == whole.identity and again.facts["command"] == "made so"
    assert len(again.rates) == 2 and again.rates[0].step > again.rates[1].step
    x = scaled(torch.from_numpy(np.array(Image.open(data / "0.png"))).movedim(2, 0)[None])
    codes = again.module.codes(x)[0].detach().numpy()
    for rate, model in zip(again.rates, again.models, strict=True):
        values = np.rint(codes / np.float32(rate.step)).astype(np.int16)
        coder = PortableCoder(read_codings(model)[0])
        body = coder.encode(values)
        assert np.array_equal(coder.decode(body, *values.shape[1:]), values)
        assert rate.psnr is not None and rate.psnr > 15
        assert rate.bits is not None and 8 * len(body) / values[0].size / 16 < 4 * rate.bits + 1


def test_training_makes_a_codec_better(tmp_path: Path) -> None:
    """Than the linear one it begins with, on what was kept apart."""
    material = Material([_pictures(tmp_path / "p", 6)], 2, 3, 32)
    sets = window_sets(material, 32, 2)
    torch.manual_seed(0)
    codec = Codec(SMALL)
    begin(codec, torch.cat([sets.train.batch(k, 4, 1)[0] for k in range(2)]))
    balance = training.Balance(finest=1.0, coarsest=8.0)

    def held_out() -> float:
        with torch.no_grad():
            return training.score(training.passages(codec.eval(), sets.held_out, (1.0, 4.0)), codec, balance)

    before = held_out()
    optimiser = torch.optim.Adam(codec.parameters(), 2e-3)
    for step in range(150):
        value, _ = training.loss(codec.train(), sets.train.batch(step, 4, 0), balance)
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert held_out() > before + 0.008


def test_a_codec_begins_as_the_best_linear_one(tmp_path: Path) -> None:
    """As many latents as bands lose nothing but rounding; fewer lose the least bands' variance."""
    samples = torch.stack([
        window(Material([_pictures(tmp_path / "p")], 2, 3, 32)[k], 32, torch.Generator().manual_seed(k))
        for k in range(4)
    ])  # fmt: skip
    whole = Codec(dataclasses.replace(SMALL, latents=48)).eval()
    begin(whole, samples)
    x = scaled(mirrored(samples, (64, 64)))
    step = torch.full((len(x),), 0.05)
    with torch.no_grad():
        restored = whole.restored(whole.symbols(whole.codes(x), step), step)
    assert (restored - x)[..., 32:-32, 32:-32].abs().max() < 0.02

    few = Codec(SMALL).eval()
    begin(few, samples)
    with torch.no_grad():
        bands = few.encoder.analysis(mirrored(scaled(samples), analysis_halo(2))).movedim(1, 0).flatten(1)
        latents = few.encoder.linear(bands.T.reshape(-1, 48, 1, 1))
        rest = few.decoder.linear(latents).flatten(1).T - bands
    values = torch.linalg.eigvalsh(torch.cov(bands.double(), correction=0))
    assert float((rest**2).sum(0).mean()) == pytest.approx(float(values[:-6].sum()), rel=1e-3)


def test_a_refining_codec_begins_with_anothers_decoder(tmp_path: Path) -> None:
    """It takes the weights behind its dealing; another form is refused."""
    config = CodecConfig("liveaction", levels=3, latents=24, encoder_blocks=1, width=8, blocks=1, refine=1)
    inner = inner_form(config)
    assert inner == SMALL
    torch.manual_seed(1)
    start = Codec(SMALL)
    samples = torch.randint(0, 255, (4, 3, 64, 64), dtype=torch.uint8)
    codec = Codec(config)
    begin(codec, samples, start)
    torch.testing.assert_close(codec.decoder.blocks.state_dict(), start.decoder.blocks.state_dict())
    again = Codec(SMALL)
    begin(again, samples, start)
    torch.testing.assert_close(again.state_dict(), start.state_dict())
    with pytest.raises(UsageError, match="form"):
        begin(Codec(dataclasses.replace(config, width=16)), samples, start)


def test_gathering_undoes_dealing() -> None:
    """In one, two and three axes."""
    from edgepress.nn.codec.decoder import dealt_out

    for axes in (1, 2, 3):
        x = torch.randn(2, 16, *(3, 2, 4)[:axes])
        assert torch.equal(gathered(dealt_out(x, 2), 2), x)


def test_recordings_and_volumes_are_material(tmp_path: Path) -> None:
    """Sixteen-bit WAV files and float arrays; what does not fit is left out and says why."""
    for number in range(3):
        with wave.open(str(tmp_path / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(struct.pack("<400h", *range(-200 + number, 200 + number)))
    np.save(tmp_path / "loud.npy", np.full(400, 3.0, np.float32))
    np.save(tmp_path / "short.npy", np.zeros(10, np.float32))
    material = Material([tmp_path], 1, 2, 64)
    assert len(material) == 4 and any("short" in reason for reason in material.left_out)
    assert material[0].dtype == torch.int16 and material[0].shape == (2, 400)
    assert float(scaled(material[0]).abs().max()) == pytest.approx(200 / 32768)
    with pytest.raises(DataError, match="loud"):
        material[3]
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    for number in range(2):
        np.save(volumes / f"{number}.npy", np.random.default_rng(0).random((1, 20, 20, 24), np.float32))
    config = CodecConfig(
        "liveaction", axes=3, channels=1, levels=1, latents=4, encoder_blocks=1, width=8, blocks=1
    )
    recipe = CodecRecipe(config, Plan(steps=2, batch=1, rate=1e-3), window=16, held_out=1, rates=(1.0,))
    frozen = train(recipe, [volumes], tmp_path / "v.safetensors", tmp_path / "v.run")
    assert len(frozen.rates) == 1


def test_windows_are_drawn_by_the_generator_alone() -> None:
    """And stay inside, whatever the size."""
    picture = torch.arange(3 * 40 * 64, dtype=torch.int32).reshape(3, 40, 64).to(torch.uint8)
    for seed in range(12):
        first = window(picture, 32, torch.Generator().manual_seed(seed))
        assert first.shape == (3, 32, 32)
        assert torch.equal(first, window(picture, 32, torch.Generator().manual_seed(seed)))


def test_what_cannot_be_trained_on_is_named(tmp_path: Path) -> None:
    """A folder that is none, one without pictures, pictures too small."""
    with pytest.raises(DataError, match="no folder"):
        Material([tmp_path / "nowhere"], 2, 3, 16)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"holds 1 pictures, and 0 can be used \("):
        Material([tmp_path], 2, 3, 16)
    with pytest.raises(DataError, match="64 are needed"):
        Material([_pictures(tmp_path / "small", 3)], 2, 3, 64)


def test_numbers_out_of_range_are_refused() -> None:
    """Each by its name."""
    with pytest.raises(UsageError, match="latents"):
        recipe_for("walloc", latents=0)
    with pytest.raises(UsageError, match="window"):
        recipe_for("walloc", window=100)
    with pytest.raises(UsageError, match="rates"):
        recipe_for("walloc", rates=(0.0,))
    with pytest.raises(UsageError, match="steps"):
        recipe_for("liveaction", steps=0)
    assert recipe_for("liveaction").config.latents == 48


@pytest.mark.parametrize("kind", ["text", "cut", "other", "nan", "shape", "rates"])
def test_a_damaged_file_is_refused(tmp_path: Path, kind: str) -> None:
    """By one sentence, whatever is wrong with it."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    data = _pictures(tmp_path / "pictures", 3)
    path = tmp_path / "codec.safetensors"
    write_codec(path, train(_recipe(), [data], path, tmp_path / "run"))
    with safe_open(path, "pt") as file:
        head = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = next(each for each in tensors if each.startswith("weight/"))
    if kind == "text":
        path.write_text("no codec")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        if kind == "other":
            head = {"something": "else"}
        elif kind == "nan":
            tensors[name] = torch.full_like(tensors[name], float("nan"))
        elif kind == "shape":
            tensors[name] = tensors[name][:1]
        else:
            plain = json.loads(head["edgepress-codec"])
            plain["rates"][0]["highest"] = 3
            head["edgepress-codec"] = json.dumps(plain)
        save_file(tensors, path, head)
    with pytest.raises(SourceError, match=r"codec\.safetensors"):
        read_codec_file(path)
