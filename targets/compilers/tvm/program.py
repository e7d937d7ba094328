"""A Relax module as a straight list of kernel calls over numbered values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm
from tvm import ir, relax, tirx
from tvm.relax import transform as passes

from edgepress.targets.compilers.tvm.expressions import const, dtype_of, is_load, shape_of
from edgepress.targets.compilers.tvm.kernel import Frame, split_flat
from edgepress.targets.compilers.tvm.origin import fused_from
from edgepress.targets.compilers.tvm.schedule.whole import is_whole
from edgepress.targets.compilers.tvm.stages import Nest, OpaqueBody, gather_nests, read_stages


class RuntimeCall(Exception):
    """An operator that TVM leaves to its own runtime, which is not linked; the message is its name."""


@dataclass(frozen=True)
class Value:
    """One tensor of the program, by number."""

    number: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """Its size, densely packed."""
        count = int(np.prod(self.shape, dtype=np.int64))
        return count * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Step:
    """One kernel call: a nest (or a whole PrimFunc where it could not be read) and its values.

    Attributes:
        name: the fused function's.
        nest, opaque: what is computed: one of the two.
        arguments: the value of each buffer.
        nodes: the numbers of the ONNX nodes that it came from.
    """

    name: str
    nest: Nest | None
    opaque: Any
    arguments: dict[Any, int]
    nodes: tuple[int, ...] = ()


@dataclass
class Program:
    """Values, constants and steps; ``alias`` maps a value to the one whose bytes it shares."""

    values: list[Value] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    alias: dict[int, int] = field(default_factory=dict)

    def value(self, shape: Sequence[int], dtype: str) -> int:
        """A new value; its number."""
        self.values.append(Value(len(self.values), tuple(shape), dtype))
        return len(self.values) - 1

    def root(self, number: int) -> int:
        """The value that holds the bytes of another."""
        while number in self.alias:
            number = self.alias[number]
        return number


def fuse(module: Any, target: Any) -> tuple[Any, list[list[int]]]:
    """The module with its operators lowered to fused PrimFuncs, and the ONNX nodes of each call of ``main``."""
    prepared = tvm.transform.Sequential(
        [
            passes.DecomposeOpsForInference(),
            passes.CanonicalizeBindings(),
            passes.EliminateCommonSubexpr(),
            passes.FoldConstant(),
            passes.LegalizeOps(),
            passes.AnnotateTIROpPattern(),
            passes.FoldConstant(),
            passes.DeadCodeElimination(),
        ]
    )
    grouped = tvm.transform.Sequential([passes.FuseOps(), passes.DeadCodeElimination()])
    fused = tvm.transform.Sequential([passes.FuseTIR(), passes.DeadCodeElimination()])
    with tvm.transform.PassContext(opt_level=3), target:
        module = prepared(module)
        groups = grouped(module)
        return fused(groups), fused_from(module["main"], groups)


def read_program(module: Any, nodes: Sequence[Sequence[int]]) -> Program:
    """The calls of ``main`` in order; ``nodes`` are the ONNX nodes of each.

    Raises:
        ValueError: the module holds something other than kernel calls over static shapes.
        RuntimeCall: an operator is left to TVM's runtime.
    """
    return _Reader(module, nodes).read()


class _Reader:
    def __init__(self, module: Any, nodes: Sequence[Sequence[int]]) -> None:
        self.module = module
        self.nodes = iter(nodes)
        self.program = Program()
        self.known: dict[Any, Any] = {}
        self.nests: dict[Any, Any] = {}

    def read(self) -> Program:
        main = self.module["main"]
        for param in main.params:
            number = self._new(param.ty)
            self.program.inputs.append(number)
            self.known[param] = number
        for block in main.body.blocks:
            for binding in block.bindings:
                self.known[binding.var] = self._bind(binding)
        result = self._expr(main.body.body)
        self.program.outputs = list(result) if isinstance(result, tuple) else [result]
        return self.program

    def _new(self, ty: Any) -> int:
        if not isinstance(ty, relax.TensorType) or not isinstance(ty.shape, relax.ShapeExpr):
            raise ValueError(f"a value of type {ty} has no static shape")
        shape = []
        for extent in ty.shape.values:
            if not isinstance(extent, tirx.IntImm):
                raise ValueError(f"the extent {extent} is not known at build time")
            shape.append(int(extent))
        return self.program.value(shape, str(ty.dtype))

    def _expr(self, expr: Any) -> Any:
        if isinstance(expr, relax.Tuple):
            return tuple(self._expr(item) for item in expr.fields)
        if isinstance(expr, relax.TupleGetItem):
            return self._expr(expr.tuple_value)[expr.index]
        if isinstance(expr, ir.Var):
            return self.known[expr]
        if isinstance(expr, ir.expr.GenericConst):
            return self._constant(expr)
        if isinstance(expr, relax.Call):
            raise RuntimeCall(str(getattr(expr.op, "name", expr.op)).removeprefix("relax."))
        raise ValueError(f"the expression {expr} is no value")

    def _constant(self, expr: Any) -> int:
        array = expr.value.numpy()
        number = self.program.value(array.shape, str(array.dtype))
        self.program.constants[number] = array
        return number

    def _bind(self, binding: Any) -> Any:
        value = binding.value
        if isinstance(value, relax.Call) and str(getattr(value.op, "name", "")) == "relax.call_tir":
            return self._call(value)
        return self._expr(value)

    def _call(self, call: Any) -> Any:
        func = self.module[call.args[0]]
        given = self._expr(call.args[1])
        ty = call.ty
        outs = [self._new(f) for f in ty.fields] if isinstance(ty, relax.TupleType) else [self._new(ty)]
        arguments = dict(zip(func.params, [*given, *outs], strict=True))
        self._steps(call.args[0], func, arguments)
        return tuple(outs) if isinstance(ty, relax.TupleType) else outs[0]

    def _steps(self, gvar: Any, func: Any, arguments: dict[Any, int]) -> None:
        program = self.program
        nodes = tuple(next(self.nodes, ()))
        if gvar not in self.nests:
            try:
                if is_whole(func):
                    raise OpaqueBody
                stages, temporaries = read_stages(func)
                self.nests[gvar] = (gather_nests(stages, temporaries), temporaries)
            except OpaqueBody:
                self.nests[gvar] = None
        if self.nests[gvar] is None:
            program.steps.append(Step(gvar.name_hint, None, func, arguments, nodes))
            return
        nests, temporaries = self.nests[gvar]
        places = dict(arguments)
        for buffer in temporaries:
            places[buffer] = program.value(shape_of(buffer), dtype_of(buffer))
        for nest in nests:
            source = aliased(nest)
            if source is not None:
                program.alias[places[nest.stage.buffer]] = places[source]
                continue
            program.steps.append(Step(gvar.name_hint, nest, None, places, nodes))


def aliased(nest: Nest) -> Any:
    """The buffer whose bytes a nest would only copy in order, or None."""
    value = nest.stage.value
    if (
        nest.anchor is not None
        or not nest.stage.plain
        or not is_load(value)
        or dtype_of(value.source) != dtype_of(nest.stage.buffer)
    ):
        return None
    source = shape_of(value.source)
    if int(np.prod(source, dtype=np.int64)) != int(np.prod(shape_of(nest.stage.buffer), dtype=np.int64)):
        return None
    frame = Frame(nest)
    total = 1
    for axis in nest.stage.axes:
        total *= axis.extent
    place = frame.axis("t", total)
    parts = split_flat(place, [axis.extent for axis in nest.stage.axes]) if nest.stage.axes else []
    variables = {axis.var: part for axis, part in zip(nest.stage.axes, parts, strict=True)}
    gap = frame.load_offset(value, variables) - frame.offset(
        nest.stage.buffer, frame.indices_of(list(nest.stage.indices), variables)
    )
    gap = frame.simplify(gap)
    same = isinstance(gap, tirx.IntImm) and int(gap) == 0
    return value.source if same or (total == 1 and gap.same_as(const(0))) else None
