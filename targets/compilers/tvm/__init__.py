"""The ahead-of-time compiler: an ONNX graph to kernels and a model description, no runtime of TVM's.

::

    ONNX ─ prepare ─ dynamic_rows ─ qdq ─ tables ─ attention ─ norms ─ deals ─ filters ─ layout ─ importer ─► Relax
      └► program ─► nests ─ schedule ─ lower ─► kernels.o
            └─ plan ─ emit ─► model.c, model.h, weights.bin
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import onnx

from edgepress.bundle.layers import KernelLayer
from edgepress.errors import SourceError, UnsupportedOpError
from edgepress.progress import Progress, silent
from edgepress.targets.compilers.tvm.attention import attentions
from edgepress.targets.compilers.tvm.conv_integer import integer_convolutions
from edgepress.targets.compilers.tvm.deals import deals
from edgepress.targets.compilers.tvm.describe import describe
from edgepress.targets.compilers.tvm.dynamic_rows import dynamic_rows
from edgepress.targets.compilers.tvm.emit import emit_header, emit_model
from edgepress.targets.compilers.tvm.filters import short_runs_last
from edgepress.targets.compilers.tvm.importer import MEND, import_graph
from edgepress.targets.compilers.tvm.layout import channels_last
from edgepress.targets.compilers.tvm.lower import generate, lower, tvm_target
from edgepress.targets.compilers.tvm.machine import machine_of, with_tiles
from edgepress.targets.compilers.tvm.norms import layer_norms
from edgepress.targets.compilers.tvm.origin import origins_of
from edgepress.targets.compilers.tvm.plan import plan_memory
from edgepress.targets.compilers.tvm.position_norms import position_norms
from edgepress.targets.compilers.tvm.prepare import prepare
from edgepress.targets.compilers.tvm.program import RuntimeCall, fuse, read_program
from edgepress.targets.compilers.tvm.qdq import integer_regions
from edgepress.targets.compilers.tvm.schedule.tile import panel_width
from edgepress.targets.compilers.tvm.tables import byte_tables
from edgepress.targets.description import Target
from edgepress.tensor import TensorSpec

NO_TILES: Mapping[str, int] = MappingProxyType({})
_MOST_RANK = 8  # EP_MAX_RANK


@dataclass(frozen=True)
class AotKernels:
    """What a compilation wrote.

    Attributes:
        kernels: ``kernels.o`` or ``kernels.c``.
        model: ``model.c``, which defines ``ep_get_model``.
        header: ``model.h``, with the sizes an application needs.
        weights: ``weights.bin``, each constant aligned to 64 bytes.
        arena_bytes, weights_bytes: sizes of the one arena and of the weights.
        inputs, outputs: the graph's tensors in order.
        layers: what runs, in that order.
        kernel_count: how many distinct kernels there are.
    """

    kernels: Path
    model: Path
    header: Path
    weights: Path
    arena_bytes: int
    weights_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[KernelLayer, ...]
    kernel_count: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(layer.macs for layer in self.layers)


def compile_graph(
    model: onnx.ModelProto,
    target: Target,
    out: Path,
    progress: Progress = silent,
    tuned: Mapping[str, int] = NO_TILES,
) -> AotKernels:
    """Compile a graph of static shapes for a target into ``out``.

    Args:
        model: the graph, opset 13 or newer; fp32, or QDQ int8.
        target: the board; ``toolchain.code`` chooses object code or C source.
        out: an existing folder that the files are written to.
        progress: told of each step.
        tuned: rows of tiles that were measured, by the kernel's shape and the rule's tile (``SHAPE by 12x32``).

    Raises:
        SourceError: a shape is not known at build time.
        UnsupportedOpError: an operator has no road through TVM.
        CompileError: the code generator failed.
    """
    total = 6
    machine = with_tiles(machine_of(target), target, tuned)
    progress(0, total, "prepare")
    ready = prepare(model)
    inputs, outputs = _specs(ready.graph.input), _specs(ready.graph.output)
    integer = byte_tables(integer_regions(integer_convolutions(dynamic_rows(ready, machine))))
    whole = position_norms(layer_norms(attentions(integer, machine), machine), machine)
    ordered = short_runs_last(deals(whole, machine), machine)
    laid = channels_last(ordered, panel_width(machine), machine)
    progress(1, total, "import")
    module = import_graph(laid)
    progress(2, total, "fuse")
    try:
        program = read_program(*fuse(module, tvm_target(target)))
        progress(3, total, "schedule")
        kernels, functions, calls = lower(program, machine)
    except RuntimeCall as error:
        raise _left_to_runtime(ready, str(error)) from error
    except ValueError as error:
        raise UnsupportedOpError("with a shape known only at run time", str(error)[:200], MEND) from error
    plan = plan_memory(program, calls)
    progress(4, total, "generate code")
    path = generate(functions, kernels, target, out)
    progress(5, total, "write")
    origins = [origins_of(laid.graph.node[number] for number in step.nodes) for step in program.steps]
    copied = [outputs[index].name for _, index in plan.copies]
    layers = describe(program, kernels, calls, origins, copied)
    names = [layer.name for layer in layers]
    files = {name: out / name for name in ("model.c", "model.h", "weights.bin")}
    files["model.c"].write_text(
        emit_model(ready.graph.name or "model", program, kernels, calls, names, plan, inputs, outputs)
    )
    files["model.h"].write_text(emit_header(plan, len(inputs), len(outputs)))
    files["weights.bin"].write_bytes(plan.weights)
    progress(total, total, "done")
    return AotKernels(
        kernels=path,
        model=files["model.c"],
        header=files["model.h"],
        weights=files["weights.bin"],
        arena_bytes=plan.arena_bytes,
        weights_bytes=len(plan.weights),
        inputs=inputs,
        outputs=outputs,
        layers=layers,
        kernel_count=len(kernels),
    )


def _left_to_runtime(model: onnx.ModelProto, name: str) -> UnsupportedOpError:
    """The error for an operator that only TVM's runtime could run, by its ONNX name where one matches."""
    wanted = name.replace("_", "").lower()
    for node in model.graph.node:
        if node.op_type.lower() == wanted:
            return UnsupportedOpError(node.op_type, f"node {node.name or node.output[0]!r}", MEND)
    return UnsupportedOpError(name, "TVM's own runtime, which is not part of a build", MEND)


def _specs(infos: object) -> tuple[TensorSpec, ...]:
    specs = []
    for info in infos:  # type: ignore[attr-defined]
        tensor = info.type.tensor_type
        shape = tuple(d.dim_value for d in tensor.shape.dim)
        if not tensor.HasField("shape") or any(not d.HasField("dim_value") for d in tensor.shape.dim):
            raise SourceError(
                f"the shape of {info.name!r} is not known at build time; export with static shapes"
            )
        if len(shape) > _MOST_RANK:
            raise SourceError(
                f"{info.name!r} has {len(shape)} dimensions; at most {_MOST_RANK} can be compiled"
            )
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        specs.append(TensorSpec(info.name, shape, dtype))
    return tuple(specs)
