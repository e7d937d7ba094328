"""Where a student's training begins: at a codec or student that is trained, or at the best linear encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgepress.errors import SourceError, UsageError
from edgepress.nn.codec.codec_file import is_codec_file, read_codec_file
from edgepress.nn.codec.encoder import LATENT_UNIT
from edgepress.nn.student.decoder import PictureDecoder
from edgepress.nn.student.student import Student
from edgepress.nn.student.student_file import is_student_file, student_weights

_GAIN = 20.0 / LATENT_UNIT  # what one band unit becomes at first
_FAINT = 0.3  # of their usual size: latents that a codec does not have begin with small weights


def begin(student: Student, samples: Tensor, start: Path | None) -> None:
    """Set a fresh student's weights.

    Args:
        samples: of the teacher's input, ``[n, channels, rows, columns]``.
        start: a student's file of the same form, all of whose weights are taken; or a codec's of the kind walloc:
            encoder and, where the student decodes to pictures, decoder begin with its weights, further latents with
            faint ones. Without it the encoder begins with the principal components of the samples' bands.

    Raises:
        SourceError: it is no codec's file.
        UsageError: the codec has another form.
    """
    with torch.no_grad():
        if start is None:
            _principal(student, samples)
            return
        if is_student_file(start):
            _go_on(student, start)
            return
        if not is_codec_file(start):
            raise SourceError(
                f"{start} is neither a codec's file nor a student's; edgepress train walloc makes one"
            )
        codec = read_codec_file(start).module
        config, wanted = student.config, codec.config
        if (wanted.kind, wanted.axes, wanted.channels, wanted.levels) != (
            "walloc",
            2,
            config.picture[0],
            config.levels,
        ):
            raise UsageError(
                f"{start} is a {wanted.kind} codec of {wanted.levels} levels and {wanted.channels} channels; the "
                f"student needs a walloc codec of {config.levels} levels and {config.picture[0]} channels"
            )
        count = wanted.latents
        if count > config.latents:
            raise UsageError(
                f"{start} has {count} latents, and the student {config.latents}; give --latents {count}"
            )
        _into(student.encoder.linear, codec.encoder.linear, count)
        if isinstance(student.decoder, PictureDecoder):
            _decoder(student.decoder.inner, codec.decoder, count)


def _go_on(student: Student, start: Path) -> None:
    form, weights, steps = student_weights(start)
    if form != student.config:
        raise UsageError(
            f"the student in {start} has the form {form}; give the options that it was trained with"
        )
    student.encoder.load_state_dict(weights["encoder"])
    student.decoder.load_state_dict(weights["decoder"])
    student.log_steps.copy_(steps.log())


def _into(layer: nn.Conv2d, given: Any, count: int) -> None:
    layer.weight[:count] = given.weight
    layer.weight[count:] *= _FAINT
    assert layer.bias is not None
    layer.bias[:count] = given.bias
    layer.bias[count:] = 0


def _decoder(decoder: nn.Module, given: nn.Module, count: int) -> None:
    """Weights of a codec's decoder; what further latents do begins at nothing."""
    own, theirs = decoder.state_dict(), given.state_dict()
    if set(own) != set(theirs) or own["first.weight"].shape[0] != theirs["first.weight"].shape[0]:
        raise UsageError(
            "the codec's decoder has another width or depth; give --width and --blocks as it has them"
        )
    for name, value in theirs.items():
        if own[name].shape == value.shape:
            own[name].copy_(value)
    for name in ("linear.weight", "first.weight"):
        own[name].zero_()
        own[name][:, :count] = theirs[name][:, :count]
    own["first.weight"][:, -1:] = theirs["first.weight"][:, -1:]


def _principal(student: Student, samples: Tensor) -> None:
    bands = student.encoder
    scaled = samples * bands.scale + bands.shift
    flat = bands.analysis(nn.functional.pad(scaled, bands.halo)).movedim(1, 0).flatten(1).double()
    mean = flat.mean(1)
    _, vectors = torch.linalg.eigh((flat - mean[:, None]) @ (flat - mean[:, None]).T / flat.shape[1])
    basis = vectors.flip(1)[:, : student.config.latents].T
    basis = basis * torch.where(basis.sum(1, keepdim=True) < 0, -1.0, 1.0)  # signs are arbitrary otherwise
    weight, bias = _GAIN * basis, -_GAIN * basis @ mean
    layer = student.encoder.linear
    layer.weight.copy_(weight.reshape(layer.weight.shape))
    assert layer.bias is not None
    layer.bias.copy_(bias)
    if isinstance(student.decoder, PictureDecoder):
        back: Any = student.decoder.inner.linear
        back.weight.copy_((basis.T / _GAIN).reshape(back.weight.shape))
        back.bias.copy_(mean)
