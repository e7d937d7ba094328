"""How often int8 EfficientNet-Lite0 gives the float network's first label, on a folder of photographs.

    python tests/benchmarks/agreement.py --data FOLDER [--option rounding=nearest …]

Calibrates on what a build without ``--data`` calibrates on; the photographs are only measured on.
Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from edgepress import zoo
from edgepress.exporters import export_module
from edgepress.inputs import prepare
from edgepress.inputs.labelled import find_labelled
from edgepress.methods import configure, find_method
from edgepress.metrics.accuracy import agreement, top_k, wilson_interval
from edgepress.metrics.signal import sqnr_db
from edgepress.progress import silent
from edgepress.samples import built_in


def measure(data: Path, options: dict[str, Any], activations: str, samples: int) -> dict[str, Any]:
    """Press Lite0 and compare it with the float network on every photograph below ``data``."""
    entry = zoo.entry(zoo.DEFAULT)
    tensor, kind = entry.inputs[0], entry.prepare[entry.inputs[0].name]
    calibration = built_in(entry.inputs, entry.prepare, samples, seed=0).load()
    exported = export_module(
        entry.module(), entry.inputs, max_opset=18, max_ir=10, output_names=entry.outputs
    )
    method = find_method("int8")
    start, processor = time.perf_counter(), time.process_time()
    pressed = method.press(exported.model, calibration, configure(method, options), activations, silent)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    assert entry.labels is not None
    files = find_labelled(data, "image", entry.labels.read_text("utf-8").splitlines(), 1000)
    sessions = [ort.InferenceSession(m.SerializeToString()) for m in (exported.model, pressed.graph)]
    rows: list[list[np.ndarray[Any, Any]]] = [[], []]
    for path in files.files:
        feed = {tensor.name: prepare(kind, path, tensor)}
        for row, session in zip(rows, sessions, strict=True):
            row.append(session.run(None, feed)[0][0])
    plain, given = np.stack(rows[0]), np.stack(rows[1])
    share = agreement(plain, given)
    low, high = wilson_interval(round(share * len(plain)), len(plain))
    labels = np.array(files.classes)
    figures = {"float": top_k(plain, labels), "int8": top_k(given, labels)} if len(labels) else {}
    return {
        "photographs": len(plain),
        "agreement": round(share, 4),
        "95 % interval": [round(low, 4), round(high, 4)],
        "sqnr_db": round(sqnr_db(plain, given), 2),
        "accuracy": {name: round(value, 4) for name, value in figures.items()},
        "press_seconds": round(seconds, 1),
        "press_processor_seconds": round(processor, 1),
        "facts": dict(pressed.facts),
    }


def main() -> None:
    """Read the command line and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("EDGEPRESS_DATA"), help="folder of photographs")
    parser.add_argument("--activations", default="uint8", choices=("uint8", "int8"))
    parser.add_argument("--samples", type=int, default=64, help="calibration pictures")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="of the method int8"
    )
    arguments = parser.parse_args()
    if not arguments.data:
        parser.error("give --data FOLDER or set EDGEPRESS_DATA")
    options: dict[str, Any] = {}
    for item in arguments.option:
        key, _, value = item.partition("=")
        try:
            options[key] = json.loads(value)
        except json.JSONDecodeError:
            options[key] = value
    print(
        json.dumps(measure(Path(arguments.data), options, arguments.activations, arguments.samples), indent=1)
    )


if __name__ == "__main__":
    main()
