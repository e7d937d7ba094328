"""A student that is trained already: its own networks, and what its streams were measured to take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgepress.cutting.float_graph import FloatGraph
from edgepress.cutting.sent import Sent
from edgepress.cutting.student import StudentWork, counted
from edgepress.errors import UsageError
from edgepress.measurement import Measurement


@dataclass(frozen=True)
class TrainedStudent:
    """What is known of a student's file.

    Attributes:
        layer: of the model, behind which the server goes on; empty for the model's input.
        work: its networks.
        sent: its stream at the rate that was asked for.
    """

    layer: str
    work: StudentWork
    sent: Sent


def trained_student(path: Path, source: FloatGraph, agreement: float) -> TrainedStudent:
    """Read a student of a model.

    Args:
        path: what ``edgepress train student`` wrote.
        source: the model, in torch.
        agreement: of its rates the cheapest that keeps that share of answers is taken, or its best.

    Raises:
        UsageError: it is another model's student, or the model is not torch.
        SourceError: the file is damaged or none.
    """
    from edgepress.nn.student.student_file import read_student_file

    if source.module is None:
        raise UsageError(f"{source.name} is no torch network, and students are of those; leave --student out")
    student = read_student_file(path, lambda wanted: source.module)
    teacher, config = student.teacher, student.config
    if teacher.name != source.model:
        raise UsageError(
            f"{path} is a student of {teacher.name}, not of {source.model}; give one of that model"
        )
    half = student.heads["server"].module
    taken = (1, config.latents + 1, *config.map)
    work = StudentWork(
        counted(student.encoder, teacher.input.shape),
        counted(half.decoder, taken),
        taken,
        lambda: half.decoder,
    )
    known = [rate for rate in student.rates if rate.bytes is not None]
    if not known:
        raise UsageError(f"{path} does not say how many bytes its streams have; train it with --keep")
    rate = next((one for one in known if (one.agreement or 0.0) >= agreement), known[-1])
    number = student.rates.index(rate)
    how = f"mean over the pictures kept apart in training, rate {number} of {path.name}"
    size = Measurement("entropic student, a picture", rate.bytes, "bytes", "measured", how)
    if rate.agreement is None:
        kept = Measurement("agreement", None, "", "unavailable", f"{path.name} does not say")
    else:
        kept = Measurement("agreement", rate.agreement, "", "measured", how)
    return TrainedStudent(teacher.layer, work, Sent("student", size, kept))
