"""Which engine runs a part here: the target's own where this machine is the target and its code is trusted."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from edgepress.bundle import Bundle, verified
from edgepress.errors import BundleError, TargetError, TrustError, UsageError
from edgepress.records import near
from edgepress.runtimes.engine import Engine

PORTABLE = "portable"
_ARCHITECTURES = {"arm64": "aarch64", "AMD64": "x86_64", "amd64": "x86_64"}
_SYSTEMS = {"linux": ("linux",), "darwin": (), "android": ("android", "linux")}


@dataclass(frozen=True)
class Choice:
    """The engine to run, and what to tell the user about it."""

    engine: str
    note: str = ""

    def start(self, bundle: Bundle, part: str, threads: int | None) -> Engine:
        """Load the engine.

        Raises:
            BundleError: the part cannot be loaded by it.
        """
        record = bundle.manifest.parts[part]
        files = record.engines.get(self.engine)
        if files is not None and "library" in files.files:
            from edgepress.runtimes.native_engine import NativeEngine

            return NativeEngine(bundle, files, threads or 1)
        from edgepress.runtimes.ort import OrtEngine

        graph = files.graph if files is not None and files.graph is not None else record.graph
        return OrtEngine(bundle, graph, threads)


def choose(bundle: Bundle, part: str, asked: str | None, trust: bool) -> Choice:
    """Choose the engine for a part of a bundle on this machine.

    Raises:
        TargetError: the engine asked for is machine code of another board, or nothing that could be loaded.
        TrustError: the engine asked for is machine code from elsewhere.
        UsageError: the part has no such engine.
    """
    record = bundle.manifest.parts[part]
    known = [*record.engines, PORTABLE]
    if asked is not None and asked not in known:
        raise UsageError(
            f"{bundle.path} has no engine {asked!r}{near(asked, known)}; choose one of {', '.join(known)}"
        )
    engine = asked or record.engine
    if engine == PORTABLE:
        return Choice(PORTABLE)
    mismatch = why_not_target(bundle.manifest.targets[record.target])
    native = "library" in record.engines[engine].files
    if not native and record.engines[engine].graph is None:
        sentence = f"the engine {engine} has no library that this machine could load"
        if asked:
            raise TargetError(f"{sentence}; leave --engine out to run the portable graph")
        if not mismatch:
            return Choice(PORTABLE, f"{sentence}: the portable graph runs through ONNX Runtime")
    if mismatch:
        sentence = f"this machine is not the target {record.target} ({mismatch})"
        if asked and native:
            raise TargetError(
                f"{sentence}, so the engine {engine} cannot run; leave --engine out to run the portable graph"
            )
        if not asked:
            return Choice(PORTABLE, f"{sentence}: the portable graph runs through ONNX Runtime")
        return Choice(engine, f"{sentence}: its graph runs through this machine's ONNX Runtime")
    if native and not (trust or verified.trusted(bundle.identity)):
        sentence = "the bundle's machine code was not built on this machine"
        if asked:
            raise TrustError(f"{sentence}; run it with --trust if you know where it comes from")
        return Choice(
            PORTABLE, f"{sentence}: the portable graph runs through ONNX Runtime (--trust runs the code)"
        )
    return Choice(engine)


def why_not_target(target: dict[str, object]) -> str:
    """Why this machine is not the board that a manifest describes; empty where it is."""
    cpu = target.get("cpu")
    if not isinstance(cpu, dict) or "arch" not in cpu or "kind" not in target:
        raise BundleError("the bundle does not describe its target; build it again")
    machine = _ARCHITECTURES.get(platform.machine(), platform.machine())
    if cpu["arch"] != machine:
        return f"its processor is {cpu['arch']}, this one {machine}"
    if target["kind"] != "host" and target["kind"] not in _SYSTEMS.get(sys.platform, ()):
        return f"it runs {target['kind']}, this machine {sys.platform}"
    from edgepress.targets.detect import host_target

    missing = sorted(set(cpu.get("features", ())) - set(host_target().cpu.features))
    return f"this processor lacks {', '.join(missing)}" if missing else ""
