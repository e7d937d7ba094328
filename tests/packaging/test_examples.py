"""The Python examples, run as a reader would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from edgepress.build import build
from edgepress.recipe import InputRecipe, Recipe
from tests.bundles import LABELS
from tests.structure.house import ROOT

EXAMPLES = ROOT / "examples" / "python"


def example(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_classify_names_what_is_on_each_photograph(tiny_bundle: Path, photograph: Path) -> None:
    done = example("classify.py", str(tiny_bundle), str(photograph), str(photograph))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == second
    assert first.startswith(f"{photograph}: ")
    assert any(label in first for label in LABELS)


def test_classify_is_a_page_of_code() -> None:
    assert len((EXAMPLES / "classify.py").read_text("utf-8").splitlines()) <= 30


def test_classify_says_in_one_sentence_what_is_wrong(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "no-picture.jpg").write_text("not a picture")
    for arguments in (
        (str(tiny_bundle), str(tmp_path / "no-picture.jpg")),
        (str(tmp_path / "none.edge"), "photo.jpg"),
    ):
        done = example("classify.py", *arguments)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "Traceback" not in done.stderr


def test_photograph_writes_a_picture(tmp_path: Path) -> None:
    done = example("photograph.py", str(tmp_path / "photograph.png"))
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "photograph.png") as picture:
        picture.load()
        assert min(picture.size) >= 224


def test_examples_without_arguments_say_how_they_are_used() -> None:
    for name in ("classify.py", "photograph.py"):
        done = example(name)
        assert done.returncode == 1
        assert "usage: python" in done.stderr


def test_train_ternary_gives_what_edgepress_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHTS", str(tmp_path / "w.safetensors"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = example("train_ternary.py", "100")
    assert done.returncode == 0, done.stderr
    assert "step 100: loss" in done.stdout
    recipe = Recipe(
        model=f"{EXAMPLES / 'train_ternary.py'}:model", method="ternary", options={"steps": 0}, engines=("ort",),
        inputs={"picture": InputRecipe((1, 1, 16, 16))}, output=str(tmp_path / "net.edge"),
    )  # fmt: skip
    facts = build(recipe).manifest.method["facts"]
    assert facts["ternary_layers"] == 2
    assert {each["why"] for each in facts["left"]} == {"left by the network's own code"}
