"""A board on a page of text."""

from __future__ import annotations

from edgepress.targets.description import Target, Tiles
from edgepress.targets.tiles import lanes_of, registers_of, tiles_of


def describe(target: Target) -> str:
    """What is known of the board, one line a fact, for people to read."""
    cpu, tools, runtime = target.cpu, target.toolchain, target.runtime
    clock = f" at {cpu.clock_hz / 1e9:.3g} GHz" if cpu.clock_hz else ""
    lines = [
        f"{target.name}: {target.title}",
        f"  processor    {cpu.cores} x {cpu.model} ({cpu.arch}){clock}",
    ]
    if cpu.features:
        lines.append(f"  features     {', '.join(cpu.features)}")
    if cpu.vector_bits:
        lines.append(f"  vectors      {cpu.vector_registers} registers of {cpu.vector_bits} bits")
    if cpu.flops_per_cycle and cpu.clock_hz:
        lines.append(f"  fp32 peak    {cpu.flops_per_cycle * cpu.clock_hz * cpu.cores / 1e9:.4g} GFLOP/s")
    if target.memory_bytes:
        lines.append(f"  memory       {target.memory_bytes / 2**20:,.0f} MiB")
    if target.bandwidth_bytes_per_s:
        lines.append(f"  bandwidth    {target.bandwidth_bytes_per_s / 1e9:.3g} GB/s")
    given = target.kernels or Tiles()
    code = lanes_of(cpu) if tools.code != "c" else 1
    tiles = tiles_of(code, registers_of(cpu), cpu.arch == "aarch64" and code > 1, given)
    chosen = "by rule from the registers" if given == Tiles() else "as the board's file says"
    lines.append(f"  fp32 tiles   {tiles.rows} rows x {tiles.vectors} vectors, {chosen}")
    ort = f"ONNX Runtime {runtime.onnxruntime}" if runtime.onnxruntime else "no ONNX Runtime; portable graphs"
    lines.append(f"  runtime      {ort}, IR up to {runtime.max_ir}, opset up to {runtime.max_opset}")
    lines.append(f"  engines      {', '.join(target.engines)} ({target.activations} activations)")
    lines.append(
        f"  code         {tools.code} for {tools.llvm_triple}, zig {tools.zig_target} {tools.zig_cpu}"
    )
    for extra in target.accelerators:
        lines.append(f"  {extra.kind:<12} {extra.name}{f' ({extra.note})' if extra.note else ''}")
    for source in target.power:
        lines.append(f"  power        {source.meter}{f' ({source.note})' if source.note else ''}")
    for figure in target.published:
        lines.append(f"  published    {figure}; {figure.how}")
    return "\n".join(lines)
