"""Load a bundle and run it: the choice of engine, the making of inputs, the meaning of outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from edgepress.bundle import Bundle, Part, open_bundle
from edgepress.coding.description import DECODER, DESCRIPTION, ENCODER
from edgepress.errors import BundleError, DataError, UsageError
from edgepress.inputs import Value, prepare
from edgepress.outputs import Label, ScoresOutput, top
from edgepress.records import near
from edgepress.runtimes.choose import Choice, choose
from edgepress.runtimes.engine import Arrays, Engine, check_threads

if TYPE_CHECKING:
    from edgepress.runtimes.served_session import ServedSession


@dataclass(frozen=True)
class Result:
    """What one run gave.

    Attributes:
        outputs: every output of the graph, by name.
        labels: the most probable classes, most probable first; empty where the model gives no class scores.
        where: ``device`` for this process; ``server``, or ``local`` for a split network's own part of that name,
            where :class:`~edgepress.runtimes.served_session.ServedSession` gave it.
        note: why it was computed there, where that was not the wish.
    """

    outputs: Arrays
    labels: list[Label] = field(default_factory=list)
    where: str = "device"
    note: str = ""

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return self.outputs[name]


class Session:
    """A loaded part of a bundle.

    Attributes:
        part: its description.
        engine_name: ``aot``, ``ort`` or ``portable``.
        note: why that engine runs, where it is not the one that was chosen for the target; else empty.
    """

    def __init__(self, bundle: Bundle, part: str, choice: Choice, engine: Engine) -> None:
        self.bundle = bundle
        self.part: Part = bundle.manifest.parts[part]
        self.part_name = part
        self.engine_name = choice.engine
        self.note = choice.note
        self._engine: Engine | None = engine
        self._labels = {
            name: bundle.labels(kind.labels) if kind.labels else []
            for name, kind in self.part.meaning.items()
            if isinstance(kind, ScoresOutput)
        }

    def run(self, value: Value | Mapping[str, Value], count: int = 5) -> Result:
        """Run once.

        Args:
            value: what the input is made from (a path, bytes, an array), or a mapping from input name to that.
            count: how many classes to name.

        Returns:
            The outputs, and the ``count`` most probable classes where the model gives class scores.

        Raises:
            DataError: an input is missing, damaged, or does not fit.
            UsageError: the session is closed.
        """
        outputs = self.run_tensors(self.prepare(value))
        for name, labels in self._labels.items():
            kind = self.part.meaning[name]
            if isinstance(kind, ScoresOutput) and outputs[name].shape[:-1] in ((), (1,)):
                return Result(outputs, top(outputs[name], kind, labels, count))
        return Result(outputs)

    def prepare(self, value: Value | Mapping[str, Value]) -> Arrays:
        """Make every input tensor; arguments and errors as for :meth:`run`."""
        inputs = self.part.inputs
        if not isinstance(value, Mapping):
            if len(inputs) != 1:
                names = ", ".join(tensor.name for tensor in inputs)
                raise DataError(f"this model has {len(inputs)} inputs; give a mapping with {names}")
            value = {inputs[0].name: value}
        known = [tensor.name for tensor in inputs]
        for name in value:
            if name not in known:
                raise DataError(
                    f"the model has no input {name!r}{near(str(name), known)}; it has {', '.join(known)}"
                )
        for name in known:
            if name not in value:
                raise DataError(f"the input {name!r} is missing; the model takes {', '.join(known)}")
        return {
            tensor.name: prepare(self.part.prepare[tensor.name], value[tensor.name], tensor)
            for tensor in inputs
        }

    def run_tensors(self, inputs: Arrays) -> Arrays:
        """Run once on tensors that are already prepared.

        Raises:
            BundleError: the engine does not give what the manifest lists.
            UsageError: the session is closed.
        """
        outputs = self._check_open().run(inputs)
        for tensor in self.part.outputs:
            if tensor.name not in outputs:
                raise BundleError(
                    f"{self.bundle.path} does not give the output {tensor.name!r} it lists; build it again"
                )
        return outputs

    def _check_open(self) -> Engine:
        if self._engine is None:
            raise UsageError(f"the session of {self.bundle.path} is closed; load the bundle again")
        return self._engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the engine and the file go; closing twice does nothing more."""
        self._engine = None
        self.bundle.close()


@overload
def load(
    path: str | Path,
    *,
    part: str | None = None,
    engine: str | None = None,
    trust: bool = False,
    threads: int | None = None,
) -> Session: ...


@overload
def load(
    path: str | Path,
    *,
    part: str | None = None,
    engine: str | None = None,
    trust: bool = False,
    threads: int | None = None,
    server: str,
    token: str = "",
    timeout: float = 10.0,
    fallback: bool = True,
    authority: str | Path | None = None,
) -> ServedSession: ...


def load(
    path: str | Path,
    *,
    part: str | None = None,
    engine: str | None = None,
    trust: bool = False,
    threads: int | None = None,
    server: str | None = None,
    token: str = "",
    timeout: float = 10.0,
    fallback: bool = True,
    authority: str | Path | None = None,
) -> Session | ServedSession:
    """Load a bundle, ready to run.

    A codec comes as :class:`~edgepress.runtimes.codec_session.CodecSession`, a split network as
    :class:`~edgepress.runtimes.split_session.SplitSession`; with a server, either split networks or others come as
    :class:`~edgepress.runtimes.served_session.ServedSession`.

    Args:
        path: the bundle.
        part: which part; needed only where there are several that are neither codec nor split network.
        engine: ``aot``, ``ort`` or ``portable``; None takes the one chosen for the target where this machine
            is the target, and the portable graph elsewhere.
        trust: run machine code that was not built on this machine.
        threads: how many threads to run on; None leaves the choice to the engine.
        server: address of an ``edgepress serve`` that answers, such as ``https://host:8443``.
        token: that the server asks for; empty takes the environment variable ``EDGEPRESS_TOKEN``.
        timeout: seconds for one answer of the server, repeats included.
        fallback: answer here, where the bundle can, when the server does not.
        authority: PEM file of who signed the server's certificate; None trusts the system's.

    Raises:
        BundleError: the file is damaged, or is no bundle.
        TargetError: the native engine was asked for, and this machine is not the target.
        TrustError: the native engine was asked for, and its code comes from elsewhere.
        UsageError: no such part or engine, or an argument of the wrong type.
    """
    if server is None:
        return _load(path, part, engine, trust, threads, codecs=True, splits=True)
    from edgepress.runtimes.served_session import ServedSession

    return ServedSession(
        path, server, part=part, engine=engine, trust=trust, threads=threads, token=token, timeout=timeout,
        fallback=fallback, authority=authority,
    )  # fmt: skip


def load_to_run(
    path: str | Path,
    *,
    part: str | None = None,
    engine: str | None = None,
    trust: bool = False,
    threads: int | None = None,
) -> Session:
    """Load what goes from an input to an answer: as :func:`load`, but of a codec a part must be named."""
    return _load(path, part, engine, trust, threads, codecs=False, splits=True)


def load_part(
    path: str | Path,
    *,
    part: str | None = None,
    engine: str | None = None,
    trust: bool = False,
    threads: int | None = None,
) -> Session:
    """Load one network of a bundle: as :func:`load`, but of a codec or a split network, too, a part must be named."""
    return _load(path, part, engine, trust, threads, codecs=False, splits=False)


def _load(
    path: str | Path, part: str | None, engine: str | None, trust: bool, threads: int | None, *, codecs: bool,
    splits: bool,
) -> Session:  # fmt: skip
    for name, given, wanted in (("path", path, (str, Path)), ("part", part, str), ("engine", engine, str)):
        if not (isinstance(given, wanted) or (given is None and name != "path")):
            raise UsageError(f"{name} is {given!r}; give {'a path' if name == 'path' else 'a name as text'}")
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int)):
        raise UsageError(f"threads is {threads!r}; give a whole number")
    check_threads(threads)
    bundle = open_bundle(path)
    try:
        if codecs and part is None and is_codec(bundle):
            from edgepress.runtimes.codec_session import CodecSession

            return CodecSession(bundle, engine, trust, threads)
        if splits and part is None and is_split(bundle):
            from edgepress.runtimes.split_session import SplitSession

            return SplitSession(bundle, engine, trust, threads)
        name = pick_part(bundle, part)
        choice = choose(bundle, name, engine, trust)
        return Session(bundle, name, choice, choice.start(bundle, name, threads))
    except BaseException:
        bundle.close()
        raise


def pick_part(bundle: Bundle, part: str | None) -> str:
    """The part that is meant; with one part, none need be named.

    Raises:
        UsageError: no such part, or several and none named.
    """
    parts = list(bundle.manifest.parts)
    if part is None and len(parts) == 1:
        return parts[0]
    if part not in parts:
        asked = f"no part {part!r}{near(part, parts)}" if part else "several parts"
        hint = " (edgepress encode and decode use both)" if is_codec(bundle) else ""
        hint = " (edgepress run uses both halves)" if is_split(bundle) else hint
        raise UsageError(f"{bundle.path} has {asked}; choose one of {', '.join(parts)}{hint}")
    return part


def is_split(bundle: Bundle) -> bool:
    """Whether a bundle holds a split network, or parts of one."""
    from edgepress.runtimes.split_session import split_parts

    return bool(split_parts(bundle))


def is_codec(bundle: Bundle) -> bool:
    """Whether a bundle holds a codec, or one half of it."""
    parts = bundle.manifest.parts
    return 0 < len(parts) <= 2 and all(
        name in (ENCODER, DECODER) and DESCRIPTION in part.tables for name, part in parts.items()
    )
