"""A small language model on bytes of text: ternary at its width and at twice it, against sixteen bits.

    python -m tests.benchmarks.ternary.language --seeds 0,1,2 --out language.json

The text is this Python's own documentation, so that nothing is downloaded; figures are bits for each byte of its
held-out part, the lower the better. All runs have the same batches, steps and rates; weights of ternary layers
count as 2 bits, all other weights as 16. A run that was stopped goes on where it was. It needs the extra train
and, for the plot, the extra bench.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepress.nn import Ternary, TernaryLinear, set_phase, ternarise
from edgepress.training import Plan, fit
from edgepress.training.examples import Batch, Examples, from_tensors
from tests.benchmarks.ternary.english import Text, read_text
from tests.benchmarks.ternary.plot import draw_points
from tests.benchmarks.ternary.runs import VARIANTS

CONTEXT = 128  # bytes
_HEAD = 32  # features of an attention head


class Block(nn.Module):
    """Attention to what came before and a perceptron of four times the width, each with a normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before_attention, self.before_hidden = nn.LayerNorm(width), nn.LayerNorm(width)
        self.in_attention, self.out_attention = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden, self.out_hidden = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, length, width]``, the same shape."""
        batch, length, width = x.shape
        heads = self.in_attention(self.before_attention(x)).reshape(batch, length, 3, -1, _HEAD)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out_attention(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.out_hidden(functional.gelu(self.hidden(self.before_hidden(x))))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """A transformer over bytes.

    Args:
        width: features of a byte; a multiple of 32.
        depth: blocks.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.bytes, self.places = nn.Embedding(256, width), nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(*[Block(width) for _ in range(depth)])
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 256)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deviation = 0.02 if "out_" not in name else 0.02 / math.sqrt(2 * depth)
                nn.init.normal_(parameter, std=deviation)

    def forward(self, x: Tensor) -> Tensor:
        """int64 ``[batch, length]`` to ``[batch, length, 256]`` scores of the next byte."""
        places = torch.arange(x.shape[1], device=x.device)
        scores: Tensor = self.out(self.norm(self.blocks(self.bytes(x) + self.places(places))))
        return scores


def windows(text: Tensor, digest: str) -> Examples:
    """Pieces of ``CONTEXT + 1`` bytes that overlap in one."""
    count = (len(text) - 1) // CONTEXT
    at = torch.arange(count)[:, None] * CONTEXT + torch.arange(CONTEXT + 1)
    return from_tensors(text[at], digest=digest)


def loss(module: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of each next byte, in nats."""
    pieces = batch[0].long()
    return functional.cross_entropy(module(pieces[:, :-1]).flatten(0, 1).float(), pieces[:, 1:].flatten())


def bits(module: nn.Module, examples: Examples) -> float:
    """Bits for each byte."""
    with torch.no_grad():
        sums = [float(loss(module, batch)) * len(batch[0]) for batch in examples.in_order(64)]
    return sum(sums) / examples.count / math.log(2)


def stored_bytes(module: nn.Module) -> int:
    """Of its parameters: 2 bits for a weight of a ternary layer, 16 for any other number."""
    whole = sum(each.numel() for each in module.parameters())
    ternary = sum(each.weight.numel() for each in module.modules() if isinstance(each, TernaryLinear))
    return -(-ternary // 4) + 2 * (whole - ternary)


@dataclass(frozen=True)
class Row:
    """What one network came to; ``training_bits`` are those of the last quarter of its steps."""

    variant: str
    width: int
    seed: int
    bits_per_byte: float
    training_bits: float
    parameters: int
    stored_bytes: int
    seconds: float


def begun(variant: str, width: int, depth: int, seed: int) -> Decoder:
    """A network with its first weights, the same for every variant."""
    torch.manual_seed(seed)
    network = Decoder(width, depth)
    if variant != "float":
        ternarise(network, Ternary(measure=variant), skip_first=False)  # type: ignore[arg-type]
    return network


def run(network: Decoder, text: Text, variant: str, plan: Plan, work: Path | None) -> Row:
    """Train one network."""
    width = network.bytes.embedding_dim

    def before(step: int) -> None:
        # Quantisation is whole from half the steps on.
        set_phase(network, min(1.0, 2 * (step + 1) / plan.steps))

    def say(done: int, total: int, what: str = "") -> None:
        if done % 100 == 0:
            print(
                f"[{variant} {width} seed {plan.seed}: {done} of {total}, {what}]",
                file=sys.stderr,
                flush=True,
            )

    folder = None if work is None else work / f"{variant}-{width}-{plan.seed}"
    history = fit(
        network, windows(text.train, text.digest), loss, plan, folder=folder, before_step=before, progress=say
    )
    last = history.records[-1]
    return Row(
        variant, width, plan.seed, bits(network, windows(text.held, text.digest)), last.loss / math.log(2),
        sum(each.numel() for each in network.parameters()), stored_bytes(network), round(last.seconds, 1),
    )  # fmt: skip


def main() -> int:
    """Train every variant at both widths, for each seed, and print bits for each held-out byte."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    text = read_text()
    print(f"{text.origin}: {len(text.train)} bytes to train on, {len(text.held)} held out", flush=True)
    plans = [
        Plan(
            steps=arguments.steps, batch=arguments.batch, rate=arguments.rate, warmup=0.05, decay=0.1,
            decay_until=0.5, precision="bfloat16", every=max(1, arguments.steps // 4), seed=seed,
        )
        for seed in arguments.seeds
    ]  # fmt: skip
    cases = [
        (begun(variant, width, arguments.depth, plan.seed), variant, plan)
        for plan in plans
        for width in (arguments.width, 2 * arguments.width)
        for variant in VARIANTS
    ]
    rows: list[Row] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for row in pool.map(lambda case: run(case[0], text, case[1], case[2], arguments.work), cases):
            rows.append(row)
            print(
                f"{row.variant:7} width {row.width} seed {row.seed}: {row.bits_per_byte:.4f} bits a byte",
                flush=True,
            )
            if arguments.out is not None:
                facts = {
                    "text": {"origin": text.origin, "digest": text.digest, "bytes": len(text.train) + len(text.held)},
                    "plan": asdict(plans[0]), "depth": arguments.depth, "torch": torch.__version__,
                    "runs": [asdict(row) for row in rows],
                }  # fmt: skip
                arguments.out.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    if arguments.plot is not None:
        columns: dict[str, list[tuple[str, float]]] = {}
        for row in rows:
            columns.setdefault(f"width {row.width}", []).append((row.variant, row.bits_per_byte))
        draw_points(columns, "bits for each held-out byte", arguments.plot)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.ternary.language", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--seeds", type=lambda text: [int(n) for n in text.split(",")], default=[0], metavar="N,M")
    add("--steps", type=int, default=3000, help="of each run (3000)")
    add("--batch", type=int, default=16, help=f"pieces of {CONTEXT} bytes a step (16)")
    add("--rate", type=float, default=3e-3, help="highest learning rate (0.003)")
    add("--width", type=int, default=64, help="features of a byte; the wide networks have twice as many (64)")
    add("--depth", type=int, default=2, help="blocks (2)")
    add("--jobs", type=int, default=2, help="runs at a time (2)")
    add("--threads", type=int, default=1, help="of each run (1)")
    add("--work", type=Path, metavar="DIR", help="keeps checkpoints")
    add("--out", type=Path, metavar="FILE", help="figures as JSON, written after each run")
    add("--plot", type=Path, metavar="FILE", help="a picture, by matplotlib")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
