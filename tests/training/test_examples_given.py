"""Examples from what users have: tensors, lists, datasets, loaders, folders; and what cannot be examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from edgepress.errors import DataError
from edgepress.inputs import ArrayInput, ImageInput
from edgepress.inputs.labelled import LabelledFiles
from edgepress.progress import silent
from edgepress.tensor import TensorSpec
from edgepress.training.augment import shifted
from edgepress.training.digits import digits
from edgepress.training.folder import decode, decoded_examples, find_examples
from edgepress.training.sets import examples_of, sets_of, split

X, Y = torch.arange(40.0).reshape(20, 2), torch.arange(20)
ALL = torch.arange(20)


class Squares(Dataset[Any]):
    """A map-style dataset."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return X[index].numpy(), int(Y[index])


def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for first in range(0, 20, 6):
        yield X[first : first + 6], Y[first : first + 6]


@pytest.mark.parametrize(
    "given",
    [
        (X, Y),
        [X.numpy(), Y.numpy()],
        [(x, int(y)) for x, y in zip(X, Y, strict=True)],
        TensorDataset(X, Y),
        Squares(),
        DataLoader(TensorDataset(X, Y), batch_size=7),
        batches(),
    ],
    ids=["tensors", "arrays", "list", "TensorDataset", "Dataset", "DataLoader", "generator"],
)
def test_each_form_gives_the_same_examples(given: Any) -> None:
    examples = examples_of(given, "mine")
    x, y = examples.take(ALL)
    assert examples.count == 20 and torch.equal(x, X) and torch.equal(y.long(), Y)
    assert torch.equal(examples.take(torch.tensor([7, 3]))[0], X[[7, 3]])


def test_other_examples_have_another_digest() -> None:
    assert examples_of((X, Y), "a").digest == examples_of((X.clone(), Y.clone()), "b").digest
    assert examples_of((X, Y), "a").digest != examples_of((X, Y + 1), "a").digest
    assert examples_of(Squares(), "a", "code 1").digest != examples_of(Squares(), "a", "code 2").digest


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "holds no examples"),
        ((X[:0], Y[:0]), "holds no examples"),
        (iter([]), "holds no examples"),
        ((X, Y[:7]), r"tensors of lengths \[20, 7\]"),
        ([(X[0], 1), (X[0, :1], 1)], "do not fit together"),
        ([{"x": 1}], "do not fit together"),
        (iter(["text"]), "a batch of mine holds str"),
        (iter([(X, Y), (X[:, :1], Y)]), "the batches of mine do not fit together"),
        (7, "mine gives int"),
        ({"train": (X, Y), "valid": (X, Y)}, "give 'train' and 'test'"),
        ((X[:1], Y[:1]), "one must be held out"),
    ],
)
def test_what_is_no_examples(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        sets_of(given, "mine", "", 0.1)


def test_a_dataset_that_fails_is_told() -> None:
    class Broken(Squares):
        def __getitem__(self, index: int) -> Any:
            raise RuntimeError("no disk")

    with pytest.raises(DataError, match=r"mine\[0\] failed: RuntimeError: no disk"):
        examples_of(Broken(), "mine")


@pytest.mark.parametrize("given", [{"train": (X, Y), "test": Squares()}, ((X, Y), Squares())])
def test_users_say_what_is_held_out(given: Any) -> None:
    sets = sets_of(given, "mine", "", 0.5)
    assert sets.train.count == sets.held_out.count == 20 and "20 and 20 examples" in sets.origin


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_nothing_is_both_trained_on_and_held_out(count: int, share: float, seed: int) -> None:
    sets = split(examples_of(torch.arange(count), "mine"), share, seed)
    seen = [part.take(torch.arange(part.count))[0].tolist() for part in (sets.train, sets.held_out)]
    assert sorted(seen[0] + seen[1]) == list(range(count)) and all(seen)


@given(st.integers(1, 4), st.integers(8, 12), st.integers(1, 4), st.booleans(), st.integers(0, 99))
def test_shifted_pictures_are_moved_over_zeros(
    size: int, side: int, pad: int, mirror: bool, seed: int
) -> None:
    x = torch.arange(1.0, size * 2 * side * side + 1).reshape(size, 2, side, side)
    moved, rest = shifted((x, ALL[:size]), torch.Generator().manual_seed(seed), pad, mirror)
    assert torch.equal(rest, ALL[:size])
    wide = torch.nn.functional.pad(x, (pad,) * 4)
    for picture, whole in zip(moved, wide, strict=True):
        places = [
            whole[:, top : top + side, left : left + side]
            for top in range(2 * pad + 1)
            for left in range(2 * pad + 1)
        ]
        places += [place.flip(-1) for place in places] if mirror else []
        assert any(torch.equal(picture, place) for place in places)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (1, 3, 16, 12), (1, 100)])
def test_digits_fit_the_input_and_repeat(shape: tuple[int, ...]) -> None:
    first, again = (digits(TensorSpec("x", shape), 50) for _ in range(2))
    x, y = first.take(torch.arange(50))
    assert x.shape == (50, *shape[1:]) and set(y.tolist()) == set(range(10)) and first.digest == again.digest
    assert torch.equal(x, again.take(torch.arange(50))[0])


@pytest.mark.parametrize(
    "spec", [TensorSpec("x", (1, 1, 4, 4)), TensorSpec("x", (1, 50)), TensorSpec("x", (1, 64), "int64")]
)
def test_digits_are_for_pictures(spec: TensorSpec) -> None:
    with pytest.raises(DataError, match="digits are pictures"):
        digits(spec)


def test_digits_do_not_fill_the_memory() -> None:
    with pytest.raises(
        DataError, match=r"4000 digits of 3x224x224 would take 2\.4 GB.* examples of your own"
    ):
        digits(TensorSpec("image", (1, 3, 224, 224), "float32"))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_decoded_pictures_are_what_the_bundle_prepares(tmp_path: Path, layout: Any) -> None:
    kind = ImageInput(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), layout=layout)
    tensor = TensorSpec("x", (1, 3, 9, 7) if layout == "NCHW" else (1, 9, 7, 3))
    generator = np.random.default_rng(0)
    for name in ("cat/a.png", "cat/b.png", "dog/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (20, 31, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "dog" / "broken.png").write_bytes(b"nothing")
    found = find_examples(tmp_path, "image", (), 2)
    assert found.classes == (0, 0, 1, 1)
    (tmp_path / "kept").mkdir()
    decode(found, kind, tensor, tmp_path / "kept", silent)
    examples = decoded_examples(tmp_path / "kept", kind, tensor, "pets", "d", "none")
    x, y = examples.take(torch.tensor([2, 0]))
    from edgepress.inputs import prepare

    wanted = np.concatenate([prepare(kind, tmp_path / name, tensor) for name in ("dog/c.png", "cat/a.png")])
    assert y.tolist() == [1, 0] and np.array_equal(x.numpy(), wanted)
    assert examples.origin == "3 files of pets (1 could not be read), classes by names of sub-folders"


def test_arrays_and_folders_that_do_not_fit(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}").mkdir()
        np.save(tmp_path / f"{number}" / "a.npy", np.full(4, number, np.float32))
    with pytest.raises(DataError, match="3 sub-folders, one a class, and the network scores 2 classes"):
        find_examples(tmp_path, "array", (), 2)
    found = find_examples(tmp_path, "array", (), 3)
    tensor = TensorSpec("x", (1, 5))
    (tmp_path / "kept").mkdir()
    with pytest.raises(DataError, match="none of the 3 files can be read; the first"):
        decode(found, ArrayInput(), tensor, tmp_path / "kept", silent)
    with pytest.raises(DataError, match="none of the 0 files"):
        decode(LabelledFiles(()), ArrayInput(), tensor, tmp_path / "kept", silent)
