"""A TFLite flatbuffer, built operator by operator with the schema that LiteRT ships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.benchmarks.peers.inputs import Array

_TYPES = {
    "float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32,
}  # fmt: skip


class TfliteModel:
    """One subgraph in the making; tensors are known by their index."""

    def __init__(self) -> None:
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.buffers: list[Any] = [schema.BufferT()]
        self.codes: dict[int, int] = {}

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        *,
        data: Array | None = None,
        scale: Array | float | None = None,
        zero: int = 0,
        axis: int = 0,
    ) -> int:
        """Add a tensor; with data it is a constant, with a scale it is quantised."""
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), _TYPES[dtype], 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.buffers.append(buffer)
            made.buffer = len(self.buffers) - 1
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            about = schema.QuantizationParametersT()
            about.scale, about.zeroPoint = scales, np.full(scales.shape, zero, np.int64)
            about.quantizedDimension = axis
            made.quantization = about
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, data: Array) -> int:
        """Add a constant."""
        return self.tensor(name, data.shape, data.dtype.name, data=data)

    def integers(self, name: str, values: Sequence[int]) -> int:
        """Add a constant of 32-bit integers: axes, shapes, orders."""
        return self.constant(name, np.array(values, np.int32))

    def operator(
        self, kind: str, inputs: Sequence[int], output: int, options: str = "", **fields: Any
    ) -> int:
        """Add an operator of the schema's name ``kind``; returns its output."""
        code = getattr(schema.BuiltinOperator, kind)
        made = schema.OperatorT()
        made.opcodeIndex = self.codes.setdefault(code, len(self.codes))
        made.inputs, made.outputs = list(inputs), [output]
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            made.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in fields.items():
                setattr(made.builtinOptions, name, value)
        self.graph.operators.append(made)
        return output

    def shape(self, tensor: int) -> list[int]:
        """A tensor's extents."""
        return list(self.graph.tensors[tensor].shape)

    def name(self, tensor: int) -> str:
        """A tensor's name."""
        return str(self.graph.tensors[tensor].name)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file's bytes."""
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [self.graph], self.buffers
        model.operatorCodes = []
        for code in self.codes:  # in the order of their indices
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
