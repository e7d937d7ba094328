"""Builds with the method ternary: trained, resumed, repeated, measured against float, and refused plainly."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from edgepress import load
from edgepress.build import build, plan
from edgepress.build.cache import UNFINISHED, StepCache
from edgepress.build.listener import Silent
from edgepress.bundle import open_bundle
from edgepress.cli.build import read_option
from edgepress.cli.init import command as init
from edgepress.cli.inspect import describe
from edgepress.errors import EdgepressError, UsageError
from edgepress.methods import configure, find_method
from edgepress.methods.ternary import TernaryConfig
from edgepress.paths import cache_dir
from edgepress.recipe import GateLimits, InputRecipe, Recipe, read_recipe
from tests.build import ternary_nets
from tests.build.conftest import NETS, Edgepress
from tests.build.test_interruption import wait_for_line

FILE = Path(ternary_nets.__file__)
QUICK = {"steps": 40, "batch": 64, "rate": 0.01, "device": "cpu"}
ANY = GateLimits(accuracy_drop=1.0, agreement=0.0, sqnr_db=-99.0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(autouse=True)
def one_thread(shared: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads cost more than they save on networks this small; a cache for all, because exporting takes the longest."""
    monkeypatch.setenv("EDGEPRESS_CACHE", str(shared))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recipe(folder: Path, net: str = "small", data: str = "digits", **changes: Any) -> Recipe:
    shape = {"x": InputRecipe((1, 1, 8, 8))}
    options = {**QUICK, **changes.pop("options", {})}
    place = f"{FILE}:{data}" if hasattr(ternary_nets, data) else data
    settings = {
        "engines": ("ort",),
        "gate": ANY,
        "inputs": shape,
        "output": str(folder / "net.edge"),
        **changes,
    }
    return Recipe(model=f"{FILE}:{net}", method="ternary", data=place, options=options, **settings)


class Watched(Silent):
    """Notes what a build tells; stops it at a checkpoint."""

    def __init__(self, stop_at: str = "") -> None:
        self.stop_at, self.told, self.said = stop_at, [], []  # type: ignore[var-annotated]

    def progress(self, done: int, total: int, what: str = "") -> None:
        self.told.append((done, what))

    def note(self, sentence: str) -> None:
        self.said.append(sentence)

    def kept(self, step: str, what: str) -> None:
        if self.stop_at and what.startswith(f"{self.stop_at},"):
            raise KeyboardInterrupt


def test_a_network_is_trained_and_its_bundle_gives_what_was_trained(tmp_path: Path) -> None:
    options = {"steps": 120}
    watched = Watched()
    built = build(recipe(tmp_path, options=options, engines=("aot", "ort"), gate=GateLimits(0.06)), watched)
    facts = built.manifest.method["facts"]
    training = facts["training"]
    assert training["start"] == "scratch" and training["task"] == "classification"
    assert training["above_chance"] and not any("commonest class" in note for note in watched.said)
    assert training["score"] >= 0.8 and training["float_score"] >= 0.8
    assert training["steps"] == training["float_steps"] == 120 == training["history"][-1][0]
    assert facts["ternary_layers"] == 2 and facts["ternary_weights"] == 12 * 16 * 9 + 16 * 16 * 9
    assert {each["layer"]: each["why"] for each in facts["left"]} == {
        "0": "the first layer",
        "9": "the last layer",
    }
    assert any(what.startswith("float, loss") and "accuracy" in what for _, what in watched.told)
    while_mixed = [what for _, what in watched.told if "λ" in what]
    assert while_mixed and all(
        re.match(r"ternary, loss \S+ at λ 0\.\d\d(, accuracy|$)", what) for what in while_mixed
    )
    assert any(", accuracy" in what for what in while_mixed)
    part = built.manifest.parts["main"]
    assert set(part.engines) == {"aot", "ort"}
    page = describe(open_bundle(built.path))
    assert "score is        accuracy" in page and "the last layer" in page and "4000 drawn digits" in page
    with load(built.path) as session:
        x, y = ternary_nets.digit_pairs()
        right = [int(session.run({"x": one[None].numpy()})["output"].argmax()) for one in x[:200]]
    assert np.mean(np.array(right) == y[:200].numpy()) >= 0.75
    assert not list((cache_dir() / UNFINISHED).glob("*"))


def test_a_stopped_training_goes_on_to_the_very_same_weights(tmp_path: Path) -> None:
    build(recipe(tmp_path))
    trainings = cache_dir() / "steps" / "train"

    def trained() -> dict[str, bytes]:
        (newest,) = sorted(trainings.iterdir(), key=lambda path: path.stat().st_mtime)[-1:]
        return {path.name: path.read_bytes() for path in newest.iterdir()}

    wanted = trained()
    assert {"weights.safetensors", "float.safetensors", "facts.json"} <= set(wanted)
    for stop, first in (("float step 20 of 40", 21), ("ternary step 30 of 40", 31)):
        shutil.rmtree(trainings)
        with pytest.raises(KeyboardInterrupt):
            build(recipe(tmp_path), Watched(stop))
        again = Watched()
        build(recipe(tmp_path), again)
        stage = stop.partition(" ")[0]
        assert min(done for done, what in again.told if what.startswith(stage)) == first
        assert trained() == wanted
        assert not list((cache_dir() / UNFINISHED).glob("*"))


def test_two_builds_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(recipe(tmp_path)).path.read_bytes()
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path / "cache"))
    again = build(recipe(tmp_path))
    assert "train" in again.ran and again.path.read_bytes() == first
    assert "train" in build(recipe(tmp_path, target="rpi4")).reused  # one training serves every board


def test_the_networks_own_weights_teach_it(tmp_path: Path) -> None:
    built = build(recipe(tmp_path, "small", "pictures_alone", options={"steps": 10}))
    training = built.manifest.method["facts"]["training"]
    assert (
        training["start"] == "float" and training["task"] == "distillation" and "dB" in training["score_name"]
    )


def test_layers_that_a_script_of_ones_own_trained_are_taken_as_they_are(tmp_path: Path) -> None:
    built = build(recipe(tmp_path, "trained", "", options={"steps": 0}, gate=GateLimits()))
    module = ternary_nets.trained  # the source seeds torch before it calls this
    torch.manual_seed(0)
    network = module().eval()
    with load(built.path) as session, torch.no_grad():
        x, _ = ternary_nets.digit_pairs()
        given = np.concatenate([session.run({"x": one[None].numpy()})["output"] for one in x[:50]])
        wanted = network(x[:50]).numpy()
    assert np.abs(given - wanted).max() < 0.05 * np.abs(wanted).max()
    assert built.manifest.method["facts"]["left"][0]["why"] == "left by the network's own code"
    assert built.manifest.method["facts"]["training"] == {"steps": 0}


def test_other_tasks_inputs_and_losses(tmp_path: Path) -> None:
    inputs = {"a": InputRecipe((1, 4)), "b": InputRecipe((1, 4))}
    options = {"steps": 60, "smallest": 100, "distil": 0.0, "held_out": 0.2}
    for loss, name in (("", "minus the mean squared error"), (f"{FILE}:absolute", "minus the loss")):
        chosen = recipe(
            tmp_path, "regressor", "pairs_to_meet", options={**options, "loss": loss}, inputs=inputs
        )
        training = build(chosen).manifest.method["facts"]["training"]
        assert training["score_name"] == name and training["score"] > training["float_score"]


def test_a_class_for_each_token(tmp_path: Path) -> None:
    inputs = {"tokens": InputRecipe((1, 12), "int64")}
    built = build(recipe(tmp_path, "Reader", "sentences", inputs=inputs, gate=GateLimits()))
    facts = built.manifest.method["facts"]
    assert facts["training"]["task"] == "classification" and facts["training"]["score"] > 0.99
    assert facts["precisions"]["int8"] and len(facts["precisions"]["ternary"]) == 2
    assert "accuracy lost 0.0%" in built.manifest.method["gate"]


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    x, y = ternary_nets.digit_pairs()
    for number, (picture, label) in enumerate(zip(x[:200], y[:200], strict=True)):
        place = tmp_path / "pictures" / f"class {int(label)}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = ((picture[0] + 1) * 80).clamp(0, 255).byte().numpy()
        Image.fromarray(pixels).save(place / f"{number}.png")
    (tmp_path / "pictures" / "class 0" / "broken.png").write_bytes(b"no picture")
    from edgepress.inputs import ImageInput

    inputs = {"x": InputRecipe((1, 1, 8, 8), prepare=ImageInput(mean=(80.0,), std=(80.0,), colour="L"))}
    built = build(recipe(tmp_path, data=str(tmp_path / "pictures"), inputs=inputs))
    training = built.manifest.method["facts"]["training"]
    assert training["data"].startswith(
        "200 files of pictures (1 could not be read), classes by names of sub-folders"
    )
    assert training["task"] == "classification" and "data" in built.ran
    with load(built.path) as session:
        assert session.run({"x": x[0][None].numpy()}).labels[0].name.startswith("class ")


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"net": "holed"}, 3, "the weight of 3 holds NaN or infinity"),
    ({"net": "empty_layer"}, 3, "the weight of 6 is all zero"),
    ({"net": "pruned"}, 3, "more than half of the weight of 6 is zero"),
    ({"net": "two_layers"}, 3, "no layer of Sequential can become ternary"),
    ({"net": "choosing"}, 3, "depends on"),
    ({"net": "single"}, 3, "its first axis must take any number"),
    ({"net": "uncalled"}, 3, "the network does not call its layer taken"),
    ({"data": ""}, 2, "there are no examples; give --data"),
    ({"data": "nothing"}, 4, "nothing holds no examples"),
    ({"data": "of_another_shape"}, 4, "the examples hold float32 1x7x7 for the input x"),
    ({"data": "too_many_classes"}, 4, "the class 10, and the network scores 10 classes"),
    ({"data": "no-folder"}, 4, "no-folder is no folder"),
    ({"data": f"{FILE}:digit_pears"}, 4, "did you mean 'digit_pairs'"),
    (
        {"options": {"steps": 0}, "data": ""},
        3,
        "takes layers that are ternary already, and the network has none",
    ),
    (
        {"net": "untrained", "options": {"steps": 0}, "data": ""},
        4,
        "the layer 3 knows no range of activations",
    ),
    ({"net": "trained", "data": "pictures_alone"}, 2, "neither a target nor a float network"),
    ({"options": {"rate": 1e9, "optimiser": "sgd", "clip": 0.0}}, 4, "the loss is"),
    ({"options": {"stepps": 3}}, 2, "did you mean 'steps'"),
    ({"options": {"steps": -4}}, 2, "the method ternary: steps is at least 0, not -4"),
    ({"options": {"distil": 2.0}}, 2, "distil is from 0 to 1"),
    ({"options": {"loss": "cross"}}, 2, "is no package.module:callable"),
    ({"options": {"loss": f"{FILE}:not_a_loss"}}, 2, "it must give a tensor with one number"),
    ({"options": {"skip": ("conv*",)}}, 2, "no layer to leave is called 'conv*'"),
    ({"options": {"task": "classification"}, "data": "pictures_alone"}, 2, "needs targets"),
    ({"inputs": {"x": InputRecipe((2, 1, 8, 8))}}, 2, "give --input x:1x"),
    (
        {"gate": GateLimits(accuracy_drop=0.0), "options": {"steps": 1, "float_steps": 60}},
        7,
        "what was trained is kept",
    ),
]


@pytest.mark.parametrize(("wrong", "code", "words"), BAD, ids=[each[2][:30] for each in BAD])
def test_one_sentence(tmp_path: Path, wrong: dict[str, Any], code: int, words: str) -> None:
    with pytest.raises(EdgepressError) as caught:
        build(recipe(tmp_path, **wrong))
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.exit_code == code
    assert not list(tmp_path.iterdir())


def test_a_network_that_learnt_nothing_is_said(tmp_path: Path) -> None:
    watched = Watched()
    built = build(recipe(tmp_path, options={"steps": 1, "rate": 1e-6, "start": "float"}), watched)
    assert built.manifest.method["facts"]["training"]["above_chance"] is False
    assert any("not clearly better than naming the commonest class" in note for note in watched.said)


def test_a_missing_device_is_told_before_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    watched = Watched()
    with pytest.raises(UsageError, match="no CUDA device here"):
        build(recipe(tmp_path, options={"device": "cuda"}), watched)
    assert not watched.told


def test_options_on_the_command_line() -> None:
    words = ["steps=5", "skip=['a.*']", "loss=l.py:mine", "start = scratch", "distil=0.5", "norm=false"]
    given = {
        "steps": 5,
        "skip": ["a.*"],
        "loss": "l.py:mine",
        "start": "scratch",
        "distil": 0.5,
        "norm": False,
    }
    assert dict(map(read_option, words)) == given
    for wrong in ("steps", "=5", ""):
        with pytest.raises(UsageError, match="is no KEY=VALUE"):
            read_option(wrong)


def test_a_dry_run_shows_the_training(tmp_path: Path) -> None:
    path, planned = plan(recipe(tmp_path, options={"seed": 77}))
    assert [each.name for each in planned][:5] == ["export", "train", "press", "rest", "gate"]
    assert not planned[1].cached and not path.exists()


def test_two_builds_do_not_train_the_same_network_at_once() -> None:
    cache = StepCache.default()
    said = pytest.raises(UsageError, match="another build is training this very network")
    with cache.unfinished("one"), cache.unfinished("another"), said, cache.unfinished("one"):
        pytest.fail("both train")
    cache.forget("one")
    with cache.unfinished("one") as folder:
        assert folder.is_dir()


def test_a_graph_cannot_be_trained(edgepress: Edgepress, tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value("x", 1, [1, 4])], [value("y", 1, [1, 4])]
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
    done = edgepress("build", "net.onnx", "--method", "ternary", "--data", "digits", "--option", "steps=5")
    assert done.returncode == 3 and "net is an ONNX graph, which has no gradients" in done.stderr
    assert "Traceback" not in done.stderr and [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_the_recipe_that_init_writes_is_that_of_the_method(tmp_path: Path) -> None:
    done = CliRunner().invoke(init, [str(tmp_path / "r.toml"), "--method", "ternary", "--model", "n.py:m"])
    assert done.exit_code == 0, done.output
    written = read_recipe(tmp_path / "r.toml")
    assert (written.method, written.data, written.model) == ("ternary", "digits", str(tmp_path / "n.py:m"))
    assert configure(find_method("ternary"), written.options) == TernaryConfig()
    (tmp_path / "r.toml").write_text(
        'method = "ternary"\ndata = "d.py:pairs"\n[options]\nloss = "l.py:mine"\nskip = ["a.*"]'
    )
    written = read_recipe(tmp_path / "r.toml")
    assert written.data == str(tmp_path / "d.py:pairs") and written.options["loss"] == str(
        tmp_path / "l.py:mine"
    )


def test_control_c_says_where_the_training_goes_on(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPRESS_CACHE", str(own_cache))
    command = [
        sys.executable,
        "-m",
        "edgepress",
        "build",
        f"{FILE}:small",
        "--method",
        "ternary",
        "--engines",
        "ort",
    ]
    command += ["--data", "digits", "--input", "x:1x1x8x8", "--option", "steps=4000", "--option", "every=25"]
    environment = {**os.environ, "PYTHONPATH": str(NETS.parents[2]), "OMP_NUM_THREADS": "1"}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)

    process = start()
    wait_for_line(process, "float step 25 of 4000, loss")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert "kept the finished steps export, and the training up to float step " in errors
    assert "of 4000; the next build goes on from there" in errors
    assert not list(tmp_path.iterdir())
    process = start()
    seen = wait_for_line(process, "of 4000, loss")
    assert "float step 25 of" not in seen
    process.kill()
    process.communicate()
    assert list((own_cache / UNFINISHED).glob("*/float/checkpoint.safetensors"))
