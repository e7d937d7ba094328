"""The steps of a build, each a function from inputs to files in a folder of its own.

Heavy libraries are imported inside the step that needs them: a build whose steps are all cached imports none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepress.errors import MissingExtraError
from edgepress.progress import Progress
from edgepress.records import encode
from edgepress.samples import Feed, Samples
from edgepress.source import Source
from edgepress.targets import Target
from edgepress.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx

GRAPH = "graph.onnx"
FACTS = "facts.json"
ROUNDED = 1e-5  # how near a graph that rounds activations comes to torch where none rounds the other way


def export(source: Source, target: Target, example: Feed | None, folder: Path, progress: Progress) -> None:
    """Source → a clean float graph that the target's runtime takes, and how it compares with the original."""
    progress(0, 1, "loading the model")
    model = source.load()
    if source.kind == "torch":
        need("onnxscript", "exporting a torch module")
        from edgepress.exporters.torch_onnx import export_module
        from edgepress.nn.ternary_frozen import freeze, has_ternary

        progress(0, 1, "torch to ONNX")
        rounds = has_ternary(model)  # trained by the user's own script
        exported = export_module(
            freeze(model) if rounds else model, source.inputs, example_inputs=example,
            output_names=source.outputs or None, rounds=rounds, **limits(target),
        )  # fmt: skip
        graph = exported.model
        facts: dict[str, Any] = {"comparison": encode(exported.comparison), "against": "torch"}
    else:
        from edgepress.exporters.onnx_file import fix_shapes, read_onnx
        from edgepress.graph.limits import lower_ir_opset
        from edgepress.graph.tidy import tidy

        progress(0, 1, "reading the graph")
        original = fix_shapes(read_onnx(model), source.inputs)
        graph = lower_ir_opset(tidy(original), **limits(target))
        facts = {"comparison": _compare_graphs(original, graph), "against": "the ONNX file"}
    inputs, outputs = graph_specs(graph)
    write_graph(folder / GRAPH, graph)
    write_facts(folder, {**facts, "inputs": encode(inputs), "outputs": encode(outputs)})


def limits(target: Target) -> dict[str, int]:
    """The newest graphs that the target's runtime reads, as exporters take them."""
    return {"max_opset": target.runtime.max_opset, "max_ir": target.runtime.max_ir}


def press(
    graph_path: Path,
    method_name: str,
    config: Any,
    target: Target,
    calibration: Samples,
    folder: Path,
    progress: Progress,
) -> None:
    """Float graph → pressed graph."""
    from edgepress.methods import find_method

    method = find_method(method_name)
    feeds = calibration.load() if method.needs_data else []
    pressed = method.press(read_graph(graph_path), feeds, config, target.activations, progress)
    write_pressed(folder, pressed.graph, pressed.facts)


def write_pressed(folder: Path, graph: onnx.ModelProto, facts: Mapping[str, Any], **more: Any) -> None:
    """Write a pressed graph, what its method has to say, its tensors, and more facts."""
    inputs, outputs = graph_specs(graph)
    write_graph(folder / GRAPH, graph)
    told = {"facts": dict(facts), "inputs": encode(inputs), "outputs": encode(outputs), **more}
    write_facts(folder, {**told, "steps": output_steps(graph), "rounds": rounds(graph)})


def golden(
    graph_path: Path,
    tensors: tuple[Sequence[TensorSpec], Sequence[TensorSpec]],
    feeds: Sequence[Feed],
    count: int,
    folder: Path,
) -> None:
    """The golden examples: inputs, and what ONNX Runtime gives for them on the portable graph.

    The ranges of values are taken over all of ``feeds``; the first ``count`` of them are kept.
    """
    from edgepress.build.reference import run_graph

    results = run_graph(graph_path, feeds)
    ranges = {name: _span([row[name] for row in rows]) for rows in (feeds, results) for name in rows[0]}
    write_facts(folder, {"ranges": ranges})
    for index, (feed, outputs) in enumerate(zip(feeds[:count], results, strict=False)):
        for kind, arrays, specs in (("in", feed, tensors[0]), ("out", outputs, tensors[1])):
            for position, spec in enumerate(specs):
                np.save(golden_file(folder, index, kind, position), arrays[spec.name])


def read_golden(
    folder: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> list[tuple[Feed, Feed]]:
    """What :func:`golden` wrote."""
    count = len({path.name.split(".")[0] for path in folder.glob("*.npy")})

    def load(index: int, kind: str, specs: Sequence[TensorSpec]) -> Feed:
        files = [golden_file(folder, index, kind, position) for position in range(len(specs))]
        return {spec.name: np.load(file) for spec, file in zip(specs, files, strict=True)}

    return [(load(index, "in", inputs), load(index, "out", outputs)) for index in range(count)]


def _span(arrays: Sequence[np.ndarray[Any, Any]]) -> list[float]:
    """The least and the greatest finite value."""
    values = np.concatenate([array.reshape(-1) for array in arrays]).astype(np.float64)
    finite = values[np.isfinite(values)]
    return [float(finite.min()), float(finite.max())] if finite.size else [0.0, 0.0]


def golden_file(folder: Path, index: int, kind: str, position: int) -> Path:
    """Where a tensor of a golden example lies: ``kind`` is ``in`` or ``out``, ``position`` its place among those."""
    return folder / f"{index}.{kind}.{position}.npy"


def output_steps(graph: onnx.ModelProto) -> dict[str, float]:
    """For each quantised output, the size of one of its steps; outputs that are float have none."""
    from onnx import numpy_helper

    constants = {item.name: item for item in graph.graph.initializer}
    producers = {name: node for node in graph.graph.node for name in node.output}
    steps = {}
    for output in graph.graph.output:
        node = producers.get(output.name)
        while node is not None and node.op_type in ("Reshape", "Flatten", "Squeeze", "Identity", "Transpose"):
            node = producers.get(node.input[0])
        if node is not None and node.op_type == "DequantizeLinear" and node.input[1] in constants:
            steps[output.name] = float(np.max(numpy_helper.to_array(constants[node.input[1]])))
    return steps


def rounds(graph: onnx.ModelProto) -> bool:
    """Whether a graph rounds activations to integers: engines may then round one the other way."""
    return any(
        node.op_type in ("QuantizeLinear", "MatMulInteger", "ConvInteger") for node in graph.graph.node
    )


def graph_specs(graph: onnx.ModelProto) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The tensors that a graph takes and gives."""
    import onnx

    def spec(value: onnx.ValueInfoProto) -> TensorSpec:
        tensor = value.type.tensor_type
        shape = tuple(dimension.dim_value for dimension in tensor.shape.dim)
        return TensorSpec(value.name, shape, str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)))

    initialised = {item.name for item in graph.graph.initializer}
    inputs = tuple(spec(value) for value in graph.graph.input if value.name not in initialised)
    return inputs, tuple(spec(value) for value in graph.graph.output)


def write_graph(path: Path, graph: onnx.ModelProto) -> None:
    """Write a graph so that the same graph gives the same bytes."""
    path.write_bytes(graph.SerializeToString(deterministic=True))


def read_graph(path: Path) -> onnx.ModelProto:
    """Read a graph that a step wrote."""
    need("onnx", "building a bundle")
    import onnx

    return onnx.load(path)


def shipped_graph(path: Path, any_size: bool) -> onnx.ModelProto:
    """A graph that a step wrote as the bundle holds it: for any size, where that is wanted and can be."""
    graph = read_graph(path)
    return open_sizes(graph) if any_size else graph


def open_sizes(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph for any size of its first input, where that can be; else as it is."""
    from edgepress.graph.any_size import any_size

    return any_size(graph) or graph


def takes_any_size(graph: onnx.ModelProto) -> bool:
    """Whether some extent of a graph's first input is left open."""
    return any(dim.HasField("dim_param") for dim in graph.graph.input[0].type.tensor_type.shape.dim)


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write what a step has to say, beside its files."""
    (folder / FACTS).write_text(json.dumps(facts, sort_keys=True, indent=1))


def read_facts(folder: Path) -> dict[str, Any]:
    """Read what a step had to say."""
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    return facts


def _compare_graphs(original: onnx.ModelProto, graph: onnx.ModelProto) -> dict[str, float]:
    """Run both graphs on seeded inputs; the cleaned one must give what the original gives."""
    from edgepress.build.reference import compare_models

    return compare_models(original, graph)


def need(package: str, what: str) -> None:
    """Refuse to start where a package of the extra ``build`` is missing.

    Raises:
        MissingExtraError: it is.
    """
    import importlib.util

    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(what, package, "build")
