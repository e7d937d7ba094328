"""A training loop of your own that ends with weights of -1, 0 and +1, and the network that edgepress builds from it.

python train_ternary.py
edgepress build train_ternary.py:model --method ternary --option steps=0 --input picture:1x1x16x16
"""

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edgepress.nn import set_phase, ternarise
from edgepress.tensor import TensorSpec
from edgepress.training.digits import digits

WEIGHTS = Path(os.environ.get("WEIGHTS", Path(__file__).with_name("ternary.safetensors")))


def network() -> nn.Module:
    """The first and the last layer stay as they are; the two between become ternary."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 10),
    )  # fmt: skip
    ternarise(net)
    return net


def model() -> nn.Module:
    """What edgepress build calls: the network with the weights that main() saved."""
    net = network()
    net.load_state_dict(load_file(WEIGHTS))
    return net


def main(steps: int = 600) -> None:
    """Train, and save."""
    torch.manual_seed(0)
    examples = digits(TensorSpec("picture", (1, 1, 16, 16)))
    net = network().train()
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3)
    for step in range(steps):
        set_phase(net, min(1.0, 2 * (step + 1) / steps))  # quantisation comes in over the first half
        pictures, classes = examples.batch(step, 128, seed=0)
        loss = nn.functional.cross_entropy(net(pictures), classes)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    save_file(net.state_dict(), WEIGHTS)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
