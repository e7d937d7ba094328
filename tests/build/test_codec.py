"""Bundles of codecs: two networks, each for its own board, the tables that both name, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from edgepress import zoo
from edgepress.build import build, plan
from edgepress.build.cache import StepCache
from edgepress.bundle import Bundle, open_bundle
from edgepress.bundle.extract import extract_part
from edgepress.codec_source import CodecSource
from edgepress.coding.description import model_name, read_levels, table_names
from edgepress.errors import CheckError, SourceError, UsageError
from edgepress.nn.codec.codec import extended
from edgepress.recipe import Recipe, part_targets, read_recipe
from edgepress.runtimes.native_coder import NativeCoder
from edgepress.source import resolve
from tests.build import codec_nets
from tests.coding import golden

NETS = Path(codec_nets.__file__)
BOTH = "encoder=rpi5,decoder=x86-64-v3"


def recipe(name: str, output: Path, **more: object) -> Recipe:
    given = {"target": BOTH, "engines": ("ort",), "tile": 32, "golden": 1} | more
    return Recipe(model=f"{NETS}:{name}", output=str(output), **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> StepCache:
    return StepCache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def walloc(tmp_path_factory: pytest.TempPathFactory, cache: StepCache) -> Path:
    path = tmp_path_factory.mktemp("codec") / "walloc.edge"
    build(recipe("walloc", path), cache=cache)
    return path


def _graph(bundle: Bundle, part: str, folder: Path) -> onnxruntime.InferenceSession:
    record = bundle.manifest.parts[part].graph
    for member in (record.member, record.weights):
        (folder / Path(member).name).write_bytes(bundle.member(member))
    return onnxruntime.InferenceSession(folder / Path(record.member).name)


def test_each_part_has_its_board_its_tensors_and_the_same_tables(walloc: Path) -> None:
    frozen = codec_nets.walloc()
    with open_bundle(walloc) as bundle:
        bundle.verify()
        parts = bundle.manifest.parts
        assert {name: part.target for name, part in parts.items()} == {
            "encoder": "rpi5",
            "decoder": "x86-64-v3",
        }
        assert parts["encoder"].tables == parts["decoder"].tables
        codec = bundle.codec("encoder")
        assert codec is not None
        assert codec == bundle.codec("decoder")
        assert codec.identity == frozen.identity
        assert codec.any_size
        assert parts["encoder"].inputs[0].shape == codec.encoder_shape() == (1, 3, 53, 53)
        assert parts["decoder"].inputs[0].shape == codec.decoder_shape()
        assert parts["decoder"].outputs[0].shape == (1, 3, 32, 32)
        tables = parts["decoder"].tables
        assert tuple(tables) == tuple(sorted(table_names(codec)))
        for rate, model in enumerate(frozen.models):
            assert bytes(bundle.member(tables[model_name(rate)])) == model
        for read, given in zip(
            read_levels(bundle.member(tables["levels"]), codec, "x"), frozen.levels, strict=True
        ):
            np.testing.assert_array_equal(read, given)


def test_costs_count_no_halo(walloc: Path) -> None:
    """9 taps for each of 2 axes and 2 levels of 3 channels; then 48 bands to 5 latents."""
    with open_bundle(walloc) as bundle:
        codec = bundle.codec("encoder")
        assert codec is not None
        assert codec.encoder_macs == pytest.approx(9 * 2 * 2 * 3 + 48 * 5 / 16, abs=0.1)


def test_checks_say_how_many_symbols_are_torchs(walloc: Path) -> None:
    with open_bundle(walloc) as bundle:
        found = {(check.step, check.part): check for check in bundle.manifest.checks}
    assert found["symbols", "encoder"].worst >= 0.999
    assert found["quality", "decoder"].worst <= 0.01
    assert {part for _, part in found} == {"encoder", "decoder"}


def test_graphs_take_a_whole_picture(walloc: Path, tmp_path: Path) -> None:
    """Samples that are no multiple of a tile, encoded and decoded by the graphs, are those of torch."""
    frozen = codec_nets.walloc()
    samples = torch.rand(1, 3, 44, 52, generator=torch.Generator().manual_seed(1)) * 2 - 1
    step = torch.tensor([STEP := frozen.rates[1].step])
    with torch.no_grad():
        expected = frozen.module.symbols(frozen.module.codes(samples), step)
        wanted = frozen.module.restored(expected, step).numpy()
    before, after = frozen.encoder_halo
    padded = np.pad(samples.numpy(), [(0, 0), (0, 0), *[(before, after)] * 2], "reflect")
    with open_bundle(walloc) as bundle:
        (codes,) = _graph(bundle, "encoder", tmp_path).run(None, {"samples": padded})
        integers = np.rint(codes / np.float32(STEP)).astype(int)
        np.testing.assert_array_equal(integers, expected.numpy())
        at = integers[0] + frozen.rates[1].highest
        latents = torch.from_numpy(np.stack([row[i] for row, i in zip(frozen.levels[1], at, strict=True)]))[
            None
        ]
        for axis in (2, 3):
            latents = extended(latents, axis, frozen.decoder_halo[0])
        plane = np.full((1, 1, *latents.shape[2:]), frozen.rates[1].plane, np.float32)
        given = {"latents": np.concatenate([latents.numpy(), plane], 1)}
        (restored,) = _graph(bundle, "decoder", tmp_path).run(None, given)
    np.testing.assert_allclose(restored, wanted, atol=1e-4 * float(np.abs(wanted).max()))


def test_a_part_taken_out_is_still_of_the_codec(walloc: Path, tmp_path: Path) -> None:
    with open_bundle(walloc) as bundle:
        extract_part(bundle, "encoder", tmp_path / "encoder.edge")
        whole = bundle.codec("decoder")
    with open_bundle(tmp_path / "encoder.edge") as alone:
        assert list(alone.manifest.parts) == ["encoder"]
        assert list(alone.manifest.targets) == ["rpi5"]
        assert alone.codec("encoder") == whole
        assert not any(member.startswith("decoder/") for member in alone.manifest.members)
        assert {check.part for check in alone.manifest.checks} == {"encoder"}


def test_the_same_codec_gives_the_same_bytes_and_streams_do_not_depend_on_the_board(
    walloc: Path, cache: StepCache, tmp_path: Path
) -> None:
    again = build(recipe("walloc", tmp_path / "again.edge"), cache=cache)
    assert not again.ran
    assert (tmp_path / "again.edge").read_bytes() == walloc.read_bytes()
    other = resolve(f"{NETS}:walloc", tile=64).joined
    assert isinstance(other, CodecSource)
    with open_bundle(walloc) as bundle:
        codec = bundle.codec("encoder")
    assert codec is not None
    assert other.description.identity == codec.identity
    assert other.description.encoder_tile != codec.encoder_tile


@pytest.mark.parametrize("name", ["liveaction", "recording"])
def test_other_codecs_are_built_and_compiled(name: str, cache: StepCache, tmp_path: Path) -> None:
    """With machine code for this machine, which gives torch's symbols too."""
    path = tmp_path / f"{name}.edge"
    built = build(recipe(name, path, target="host", engines=("aot",), tile=32), cache=cache)
    checks = [check for check in built.manifest.checks if check.step in ("symbols", "quality", "aot")]
    assert {check.part for check in checks} == {"encoder", "decoder"}
    assert all(check.passed for check in checks)
    assert sum("aot" in check.detail for check in checks if check.step == "symbols") == 1
    with open_bundle(path) as bundle:
        codec = bundle.codec("decoder")
        assert codec is not None
        assert codec.any_size
        for part_name, part in bundle.manifest.parts.items():
            library = tmp_path / f"{part_name}.so"
            library.write_bytes(bundle.member(part.engines["aot"].files["library"]))
            rate, shape, body = golden.bodies()[-1]
            coder = NativeCoder(library, golden.models()[rate])
            assert (coder.decode(body, *shape) == golden.values(*shape)).all()


def test_the_choice_of_engine_counts_the_work_of_a_tile_for_both(cache: StepCache, tmp_path: Path) -> None:
    """ONNX Runtime's graph takes any size, and its work must still be known."""
    built = build(
        recipe("walloc", tmp_path / "w.edge", target="x86-64-v3", engines=("aot", "ort")), cache=cache
    )
    for part in built.manifest.parts.values():
        ratio = re.search(r"aot takes about ([0-9.e+-]+) times", part.why)
        assert ratio is not None and 0.02 < float(ratio[1]) < 5, part.why


def test_volumes_run_through_onnx_runtime(cache: StepCache, tmp_path: Path) -> None:
    built = build(recipe("volume", tmp_path / "v.edge", target="x86-64-v3", tile=16), cache=cache)
    assert next(part.inputs[0].shape for part in built.manifest.parts.values()) == (1, 1, 23, 23, 23)


def test_a_dry_run_lists_the_steps_of_each_part(cache: StepCache, walloc: Path, tmp_path: Path) -> None:
    _, steps = plan(recipe("walloc", tmp_path / "a.edge"), cache)
    assert [step.name for step in steps][:2] == ["encoder: export", "encoder: press"]
    assert [step.name for step in steps][-2:] == ["decoder: pool", "symbols"]
    assert all(step.cached for step in steps)
    _, fresh = plan(recipe("walloc", tmp_path / "a.edge", tile=16), cache)
    assert not any(step.cached for step in fresh)


def test_symbols_that_are_not_torchs_stop_the_build(
    cache: StepCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgepress.build.codec_check._same", lambda a, b, step: 0.99)
    with pytest.raises(CheckError, match=r"0\.99 share of symbols, and the limit is 0\.999"):
        build(recipe("walloc", tmp_path / "a.edge", samples=3), cache=cache)
    assert not (tmp_path / "a.edge").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"method": "int8"}, "stay in float32"),
        ({"tile": 30}, "multiple of 4"),
        ({"tile": 1 << 23}, "up to"),
        ({"labels": "labels.txt"}, "leave --labels out"),
        ({"target": "encoder=rpi4"}, "add decoder=BOARD"),
        ({"target": "encoder=rpi4,decodr=rpi4"}, "did you mean 'decoder'"),
        ({"target": "encoder=rpi4,encoder=rpi5"}, "one board"),
        ({"target": "encoder=,decoder=rpi4"}, "one board"),
    ],
)
def test_what_does_not_fit_a_codec_is_refused(more: dict[str, object], message: str, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\n")
    if "labels" in more:
        more = {"labels": str(labels)}
    with pytest.raises(UsageError, match=message):
        build(recipe("walloc", tmp_path / "a.edge", **more), cache=StepCache(tmp_path / "cache"))


def test_a_codec_of_the_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = zoo.ZooEntry(
        "tiny", lambda: None, str, (), {}, (), None, "a codec for tests", codec=codec_nets.walloc
    )
    monkeypatch.setitem(zoo._ENTRIES, "tiny", lambda: entry)
    source = resolve("tiny", tile=16)
    assert list(source.parts) == ["encoder", "decoder"]
    assert source.digest == codec_nets.walloc().identity
    assert source.parts["decoder"].load() is source.load().decoder
    assert source.parts["encoder"].inputs[0].shape == (1, 3, 37, 37)


def test_weights_and_inputs_are_the_codecs_own() -> None:
    with pytest.raises(SourceError, match="leave --weights out"):
        resolve(f"{NETS}:walloc", weights="w.safetensors")


def test_other_networks_have_neither_tiles_nor_boards_by_part(cnn_onnx: Path, tmp_path: Path) -> None:
    for more, message in (({"tile": 32}, "leave --tile out"), ({"target": "a=rpi4,b=rpi5"}, "without parts")):
        with pytest.raises(UsageError, match=message):
            build(Recipe(model=str(cnn_onnx), output=str(tmp_path / "a.edge"), **more))


def test_boards_of_parts_in_a_recipe_count_from_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('model = "x.onnx"\ntarget = "encoder=my.toml, decoder=rpi4"\n')
    assert part_targets(read_recipe(path).target) == {"encoder": str(tmp_path / "my.toml"), "decoder": "rpi4"}


def test_identity_follows_everything_that_streams_depend_on() -> None:
    import dataclasses

    frozen = codec_nets.walloc()
    assert frozen.identity == codec_nets.walloc().identity
    models = dataclasses.replace(frozen, models=(b"other", *frozen.models[1:]))
    levels = dataclasses.replace(frozen, levels=(frozen.levels[0] + 1, *frozen.levels[1:]))
    weights = codec_nets.walloc()
    with torch.no_grad():
        next(weights.module.decoder.parameters()).add_(1e-3)
    assert len({one.identity for one in (frozen, models, levels, weights)}) == 4


def test_inspect_tells_of_the_codec(walloc: Path) -> None:
    from edgepress.cli.inspect import describe

    with open_bundle(walloc) as bundle:
        page = describe(bundle)
        assert json.loads(bytes(bundle.member("codec/codec.json")))["factor"] == 4
    assert "123.0 multiply-adds a pixel; tiles of 32 × 32 samples, halo 12 and 9 samples" in page
    assert "5 for each 4 × 4 samples" in page
