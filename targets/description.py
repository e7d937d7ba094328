"""A board, as its TOML file describes it: the nouns that every compiler, runtime and meter reads.

What is not known about a board is absent, never invented: optional fields are None or empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgepress.measurement import Measurement


@dataclass(frozen=True)
class Cache:
    """Data caches seen by one core, in bytes; None where unknown."""

    l1d: int | None = None
    l2: int | None = None
    l3: int | None = None


@dataclass(frozen=True)
class Cpu:
    """The processor that runs the model.

    Attributes:
        arch: ``aarch64``, ``x86_64``, ``riscv64``, ``thumb`` or ``wasm32``.
        model: LLVM's processor name, such as ``cortex-a72``.
        cores: how many cores of that model the board has.
        clock_hz: the highest sustained clock, in hertz.
        features: LLVM feature names without a sign, such as ``neon`` or ``dotprod``.
        vector_bits: the width of one vector register (0: none).
        vector_registers: how many there are.
        flops_per_cycle: fp32 operations a core ends per cycle, a multiply-add counting two.
        int8_ops_per_cycle: the same for int8 multiply-adds with 32-bit sums.
        cache: sizes of the data caches.
    """

    arch: str
    model: str
    cores: int
    clock_hz: float | None = None
    features: tuple[str, ...] = ()
    vector_bits: int = 0
    vector_registers: int = 0
    flops_per_cycle: float | None = None
    int8_ops_per_cycle: float | None = None
    cache: Cache = field(default_factory=Cache)


@dataclass(frozen=True)
class Toolchain:
    """How machine code for the board is made and run here.

    Attributes:
        llvm_triple: for TVM's code generator, such as ``aarch64-linux-gnu``.
        llvm_abi: the calling convention where the triple leaves it open (``lp64d``), or empty.
        zig_target: for ``zig cc -target``; the shared library's.
        zig_static_target: the same for a static executable (musl), or empty where there is none.
        zig_cpu: for ``zig cc -mcpu=``.
        code: ``object`` (LLVM object code) or ``c`` (C source, for microcontrollers and others).
        unicorn: the in-process emulator's machine: ``arm64``, ``arm``, ``x86``, ``riscv64`` or empty.
        unicorn_cpu: its processor model, such as ``CORTEX_A72``, or empty for its default.
        qemu: the user-mode emulator's program name, such as ``qemu-aarch64-static``, or empty.
        qemu_cpu: its ``-cpu``, such as ``cortex-a72``.
    """

    llvm_triple: str
    zig_target: str
    zig_cpu: str
    zig_static_target: str = ""
    llvm_abi: str = ""
    code: str = "object"
    unicorn: str = ""
    unicorn_cpu: str = ""
    qemu: str = ""
    qemu_cpu: str = ""


@dataclass(frozen=True)
class RuntimeLimits:
    """What the board's ONNX Runtime takes.

    Attributes:
        onnxruntime: the version meant, such as ``1.31``; empty where none runs there.
        max_ir: the highest ONNX IR version.
        max_opset: the highest opset of the default domain.
    """

    onnxruntime: str
    max_ir: int
    max_opset: int


@dataclass(frozen=True)
class Accelerator:
    """A processor beside the CPU: its kind (``gpu``, ``npu``), its name and what the maker says of it."""

    kind: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class PowerSource:
    """Where joules can be read on the board: a meter's name and what it leaves out."""

    meter: str
    note: str = ""


@dataclass(frozen=True)
class Efficiency:
    """Which share of its peak the board reaches, for estimates only; each between 0 and 1.

    Attributes:
        fp32: the share of the fp32 peak that matrix products and dense convolutions reach.
        fp32_depthwise: the same for depthwise convolutions.
        int8: the share of the int8 peak (of the fp32 peak where no int8 peak is known; may pass 1 there).
        int8_depthwise: the same for depthwise convolutions.
        memory: the share of ``bandwidth_bytes_per_s`` that fp32 layers reach.
        int8_memory: the same for int8 layers; less, as each byte that they move is rescaled too.
        error: what the estimate may be off by, as a factor: the range is value/error to value*error.
        how: which figures they were fitted to.
    """

    fp32: float
    fp32_depthwise: float
    int8: float
    int8_depthwise: float
    memory: float
    int8_memory: float
    error: float
    how: str


@dataclass(frozen=True)
class Tiles:
    """Which tiles the CPU engine's kernels take; None leaves one to the rule (:mod:`edgepress.targets.tiles`).

    Attributes:
        rows, vectors: of an fp32 tile of sums, the second counting registers side by side.
        dot_rows: rows of a tile of eight-bit numbers.
        depthwise_columns: neighbouring outputs that a depthwise convolution makes together.
        weights_stay_bytes: the size of weights up to which they are gone over again for each tile of rows,
            since they stay in a cache; larger ones are gone over once.
    """

    rows: int | None = None
    vectors: int | None = None
    dot_rows: int | None = None
    depthwise_columns: int | None = None
    weights_stay_bytes: int | None = None


@dataclass(frozen=True)
class Target:
    """A board: what its TOML file says, checked.

    Attributes:
        name: what ``--target`` takes.
        title: what people call it.
        kind: ``linux``, ``android``, ``microcontroller``, ``wasm`` or ``host``.
        cpu: the processor.
        toolchain: how code for it is made and emulated.
        runtime: what its ONNX Runtime takes.
        engines: names of compilers in order of preference; the first that is covered and passes is kept.
        activations: the integer type of quantised activations, ``uint8`` or ``int8``.
        memory_bytes: main memory, in bytes.
        bandwidth_bytes_per_s: sustained read bandwidth of main memory.
        accelerators, power: what else is on the board.
        published: figures that others published, each with its source in ``how``.
        efficiency: what estimates assume of the board; None where nothing was fitted to it.
        kernels: tiles chosen for the board; None leaves all to the rule.
    """

    name: str
    title: str
    kind: str
    cpu: Cpu
    toolchain: Toolchain
    runtime: RuntimeLimits
    engines: tuple[str, ...]
    activations: str
    memory_bytes: int | None = None
    bandwidth_bytes_per_s: float | None = None
    accelerators: tuple[Accelerator, ...] = ()
    power: tuple[PowerSource, ...] = ()
    published: tuple[Measurement, ...] = ()
    efficiency: Efficiency | None = None
    kernels: Tiles | None = None
