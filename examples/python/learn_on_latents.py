"""Learn to classify pictures from what a codec sends, beside the same network on pixels of the same budget.

Each picture is encoded once; what the network learns from are the decoder's latents, 12 numbers for each 8 × 8 pixels
with walloc-f8c12. The other network reads the pictures made smaller until they hold as many numbers (for that codec a
quarter of the size along each axis: 2 × 2 pixels of three colours for each 8 × 8), dealt to the same positions.

    python examples/python/learn_on_latents.py --train cifar10-train.npz --test cifar10-test.npz

An archive holds ``jpeg`` (the bytes of all pictures), ``offsets`` (where each begins, and the end) and ``labels``; all
pictures are of one size.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

import edgepress
from edgepress.codecs import find_codec
from edgepress.runtimes.codec_session import CodecSession
from edgepress.training.examples import from_tensors
from edgepress.training.loop import fit
from edgepress.training.plan import Plan

_SEED = 0


class Network(nn.Module):
    """Residual blocks at the positions there are, their mean, and class scores.

    Args:
        inputs: numbers at each position.
        classes: how many there are.
        width, blocks: of the network.
    """

    def __init__(self, inputs: int, classes: int, width: int = 128, blocks: int = 4) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1),
                nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1),
            )
            for _ in range(blocks)
        )  # fmt: skip
        self.last = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, inputs, rows, columns]`` → ``[n, classes]``."""
        x = self.first(self.norm(x))
        for block in self.blocks:
            x = x + block(x)
        scores: Tensor = self.last(x.mean((2, 3)))
        return scores


def read(path: Path, most: int) -> tuple[list[np.ndarray], Tensor]:
    """The pictures of an archive, uint8 ``[rows, columns, 3]``, and their classes."""
    with np.load(path) as archive:
        data, offsets, labels = archive["jpeg"], archive["offsets"], archive["labels"]
    spans = list(itertools.pairwise(offsets.tolist()))[:most]
    pictures = [np.asarray(Image.open(io.BytesIO(data[a:b].tobytes())).convert("RGB")) for a, b in spans]
    return pictures, torch.from_numpy(labels[: len(pictures)].astype(np.int64))


def latents(pictures: list[np.ndarray], codec: CodecSession, rate: float | int | None) -> Tensor:
    """What the codec's decoder would get."""
    return torch.from_numpy(np.stack([codec.latents(picture, rate) for picture in pictures]))


def smaller(pictures: list[np.ndarray], like: Tensor) -> Tensor:
    """The pictures as so many numbers at the same positions: made smaller, then dealt to channels."""
    _, numbers, rows, columns = like.shape
    ratio = int((numbers / 3) ** 0.5)  # pixels of a position along each axis
    x = torch.from_numpy(np.stack(pictures)).movedim(3, 1).float() / 127.5 - 1
    x = functional.interpolate(x, (ratio * rows, ratio * columns), mode="bicubic", antialias=True)
    return functional.pixel_unshuffle(x, ratio)


def learn(
    name: str, train: Tensor, classes: Tensor, test: Tensor, answers: Tensor, rounds: int
) -> dict[str, float | str]:
    """Train the network on some numbers, and tell how often it is right and how long it took."""
    torch.manual_seed(_SEED)
    network = Network(train.shape[1], int(classes.max()) + 1)
    batch = 128
    plan = Plan(
        steps=max(1, rounds * len(train) // batch),
        batch=batch,
        rate=2e-3,
        decay=0.02,
        precision="bfloat16",
        seed=_SEED,
    )
    began = time.perf_counter()

    def loss(module: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
        x, wanted = given
        return functional.cross_entropy(module(x).float(), wanted)

    fit(network, from_tensors(train, classes), loss, plan)
    seconds = time.perf_counter() - began
    with torch.no_grad():
        answered = torch.cat([network(test[at : at + 512]).argmax(1) for at in range(0, len(test), 512)])
    return {
        "input": name,
        "numbers": train[0].numel(),
        "accuracy": float((answered == answers).float().mean()),
        "training_s": round(seconds, 1),
    }


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--codec", default="walloc-f8c12", help="a codec's bundle, or its name in the zoo")
    parser.add_argument("--rate", type=float, help="bits a pixel")
    parser.add_argument("--pictures", type=int, default=20_000, help="to train on, at most")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    pictures, classes = read(given.train, given.pictures)
    others, answers = read(given.test, 1 << 30)
    with edgepress.load(find_codec(given.codec)) as codec:
        if not isinstance(codec, CodecSession):
            parser.error(f"{given.codec} is no codec")
        began = time.perf_counter()
        train = latents(pictures, codec, given.rate)
        encoding = (time.perf_counter() - began) / len(pictures)
        test = latents(others, codec, given.rate)
    results = [
        learn("latents", train, classes, test, answers, given.rounds),
        learn("pixels", smaller(pictures, train), classes, smaller(others, test), answers, given.rounds),
    ]
    print(f"{len(pictures)} pictures to train on, {len(others)} to test, {given.rounds} rounds")
    print(f"encoding took {encoding * 1e3:.2f} ms a picture")
    for each in results:
        print(
            f"{each['input']:8} {each['numbers']} numbers: {each['accuracy']:.2%} right, "
            f"{each['training_s']} s of training"
        )
    if given.json:
        given.json.write_text(json.dumps({"encoding_s": encoding, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
