"""A student that is trained: its networks, and the numbers that streams depend on, frozen once and for all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor, nn

from edgepress.coding.split import SERVER, Split, SplitRate
from edgepress.inputs import InputKind
from edgepress.nn.student.config import StudentConfig
from edgepress.nn.student.decoder import decoder_for
from edgepress.nn.student.encoder import Encoder
from edgepress.nn.student.student import LIMIT
from edgepress.tensor import TensorSpec

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Teacher:
    """The network that a student was distilled from, without its weights.

    Attributes:
        name: a name of the zoo, or ``file.py:callable`` as it was given.
        digest: of its weights and code.
        layer: behind which the student's decoder takes over; empty where the decoder gives the teacher's input.
        input: the tensor that it takes.
        prepare: how that is made of a file.
        output: what its output is called.
        labels: class names for it; empty where it gives no class scores.
    """

    name: str
    digest: str
    layer: str
    input: TensorSpec
    prepare: InputKind
    output: str
    labels: tuple[str, ...] = ()


class ServerHalf(nn.Module):
    """Latents and the rate's plane → the teacher's output: the student's decoder, then the rest of the teacher."""

    def __init__(self, decoder: nn.Module, rest: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.rest = rest

    def forward(self, x: Tensor) -> Tensor:
        """``[n, latents + 1, rows, columns]`` → the output."""
        found = self.rest(self.decoder(x))
        output: Tensor = found[0] if isinstance(found, tuple) else found
        return output


@dataclass(frozen=True)
class Head:
    """One of the server's halves.

    Attributes:
        module: a :class:`ServerHalf`, in evaluation mode.
        teacher: what it was distilled from.
        changed: names in ``module.rest`` of the tensors that are no longer the teacher's.
        config: the student's form, with the ``features`` of this head's own decoder.
    """

    module: nn.Module
    teacher: Teacher
    changed: tuple[str, ...]
    config: StudentConfig


@dataclass(frozen=True, eq=False)
class FrozenStudent:
    """A student and what was frozen with it.

    Attributes:
        config: its form.
        encoder: the device's half, in evaluation mode.
        heads: the server's halves by part; ``server`` is the first.
        steps: float32 ``[rates, latents]``: what latents are divided by before they are rounded.
        rates: from the fewest bytes to the most.
        models: for each rate, the probabilities of its integers, as :mod:`edgepress.coding` writes them.
        macs: multiply-adds of ``device``, ``teacher`` and ``replaced`` (see :class:`edgepress.coding.split.Split`),
            and of each head by its part.
        facts: how it was trained, JSON-ready.
    """

    config: StudentConfig
    encoder: Encoder
    heads: Mapping[str, Head]
    steps: Array
    rates: tuple[SplitRate, ...]
    models: tuple[bytes, ...]
    macs: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.heads or next(iter(self.heads)) != SERVER:
            raise ValueError(f"the heads {', '.join(self.heads)}; the first is {SERVER}")
        if self.steps.shape != (len(self.rates), self.config.latents) or len(self.models) != len(self.rates):
            raise ValueError(
                f"{len(self.rates)} rates, steps of {self.steps.shape}, {len(self.models)} models"
            )

    @cached_property
    def identity(self) -> str:
        """32 hexadecimal digits that differ where a stream would mean something else: those of a SHA-256 over the
        form, the encoder's weights, the steps and the models. Heads may be added without changing it."""
        digest = hashlib.sha256(repr(sorted(asdict(self.config).items())).encode())
        for rate, model in zip(self.rates, self.models, strict=True):
            digest.update(repr((rate.plane, len(model))).encode() + model)
        digest.update(np.ascontiguousarray(self.steps, "<f4").tobytes())
        for name, tensor in sorted(self.encoder.state_dict().items()):
            digest.update(repr((name, tuple(tensor.shape))).encode())
            digest.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy(), "<f4").tobytes())
        return digest.hexdigest()[:32]

    @property
    def teacher(self) -> Teacher:
        """Of the first head."""
        return self.heads[SERVER].teacher

    def description(self) -> Split:
        """What a bundle says of it."""
        rows, columns = self.config.map
        return Split(
            identity=self.identity, teacher=self.teacher.name, layer=self.teacher.layer,
            shape=self.teacher.input.shape[1:], latents=self.config.latents, rows=rows, columns=columns,
            highest=LIMIT, rates=self.rates, heads=tuple(self.heads),
            device_macs=self.macs.get("device", 0.0), server_macs=self.macs.get(SERVER, 0.0),
            teacher_macs=self.macs.get("teacher", 0.0), replaced_macs=self.macs.get("replaced", 0.0),
        )  # fmt: skip


def untrained(
    teacher: nn.Module, about: Teacher, config: StudentConfig, betas: tuple[float, ...]
) -> FrozenStudent:
    """A student with random weights and plain tables: a form to build and try before there is a trained one.

    Args:
        teacher: what follows the decoder; for a layer, the teacher's rest.
        about: of the teacher.
        config: the form.
        betas: one a rate.
    """
    from edgepress.coding.fit import fit
    from edgepress.coding.frozen import write_codings

    encoder, decoder = Encoder(config).eval(), decoder_for(config).eval()
    generator = np.random.default_rng(0)
    sent = generator.laplace(0, 2, (8, config.latents, *config.map))
    models = tuple(
        write_codings((fit([np.rint(each / 2**rate).astype(np.int16) for each in sent]).coding,))
        for rate in range(len(betas), 0, -1)
    )
    steps = np.stack([np.full(config.latents, 2.0**-rate, np.float32) for rate in range(len(betas))])
    rates = tuple(SplitRate(beta, float(-rate)) for rate, beta in enumerate(betas))
    head = Head(ServerHalf(decoder, teacher).eval(), about, (), config)
    return FrozenStudent(config, encoder, {SERVER: head}, steps, rates, models, {})
