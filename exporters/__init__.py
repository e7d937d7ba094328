"""From models to ONNX graphs: torch modules, and ONNX files that users bring.

The modules are imported on first use, because torch and onnx are only there where bundles are built.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgepress.exporters.onnx_file import fix_shapes, read_onnx
    from edgepress.exporters.torch_onnx import Comparison, Exported, export_module

_HOME = {
    "Comparison": "torch_onnx",
    "Exported": "torch_onnx",
    "export_module": "torch_onnx",
    "fix_shapes": "onnx_file",
    "read_onnx": "onnx_file",
}

__all__ = ["Comparison", "Exported", "export_module", "fix_shapes", "read_onnx"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
