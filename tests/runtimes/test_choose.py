"""Which engine runs, and what is said about it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from edgepress.bundle import open_bundle, verified
from edgepress.errors import BundleError, TargetError, TrustError, UsageError
from edgepress.runtimes.choose import choose, why_not_target
from tests.bundles import write_tiny

HERE = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())


def pick(path: Path, asked: str | None = None, trust: bool = False) -> tuple[str, str]:
    """The engine and the note."""
    with open_bundle(path) as bundle:
        choice = choose(bundle, "main", asked, trust)
    return choice.engine, choice.note


@pytest.fixture
def native(tmp_path: Path) -> Path:
    """A bundle whose engine is machine code for this machine."""
    return write_tiny(tmp_path / "native.edge", arch=HERE, kind="host", library=b"machine code")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A bundle whose engine is machine code for another machine."""
    return write_tiny(tmp_path / "foreign.edge", arch="riscv64", library=b"machine code")


def test_code_from_elsewhere_needs_trust(native: Path) -> None:
    engine, note = pick(native)
    assert engine == "portable" and "--trust" in note
    with pytest.raises(TrustError, match="--trust"):
        pick(native, "aot")
    assert pick(native, "aot", trust=True) == ("aot", "")
    assert pick(native, trust=True) == ("aot", "")


def test_code_built_here_runs(native: Path) -> None:
    with open_bundle(native) as bundle:
        verified.trust(bundle.identity)
    assert pick(native) == ("aot", "")


def test_trust_does_not_pass_to_another_bundle(native: Path, tmp_path: Path) -> None:
    with open_bundle(native) as bundle:
        verified.trust(bundle.identity)
    other = write_tiny(tmp_path / "other.edge", arch=HERE, kind="host", library=b"other code")
    assert pick(other)[0] == "portable"


def test_another_board(foreign: Path) -> None:
    engine, note = pick(foreign, trust=True)
    assert engine == "portable" and "riscv64" in note
    with pytest.raises(TargetError, match="riscv64"):
        pick(foreign, "aot", trust=True)
    engine, note = pick(foreign, "ort")
    assert engine == "ort" and "this machine's ONNX Runtime" in note
    assert pick(foreign, "portable") == ("portable", "")


def test_an_unknown_engine(native: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'aot'"):
        pick(native, "aott")


def test_a_feature_this_processor_lacks(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "x.edge", arch=HERE, kind="host", features=("warp-drive",), library=b"code")
    assert "lacks warp-drive" in pick(path)[1]


@pytest.mark.parametrize(
    "target", [{}, {"cpu": {}}, {"cpu": 3, "kind": "linux"}, {"cpu": {"arch": "x86_64"}}]
)
def test_a_target_that_says_nothing(target: dict[str, object]) -> None:
    with pytest.raises(BundleError):
        why_not_target(target)


@pytest.mark.parametrize("kind", ["microcontroller", "wasm", "android"])
def test_the_same_processor_with_another_system(kind: str) -> None:
    if kind == "android" and platform.system() == "Android":
        pytest.skip("platform: this machine is the target")
    assert kind in why_not_target({"kind": kind, "cpu": {"arch": HERE}})
