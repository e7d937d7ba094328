"""Descriptions of boards need nothing but Python."""

from __future__ import annotations

import subprocess
import sys


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, edgepress.targets as t, edgepress.hardware.estimate\n"
        "[t.load_target(n) for n in t.target_names()]\n"
        "loaded = {m.split('.')[0] for m in sys.modules}\n"
        "print(sorted(loaded & {'torch', 'onnx', 'tvm', 'numpy', 'onnxruntime'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
