"""Every board's names mean something to the tools that they are given to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgepress.targets import load_target, target_names
from tests.required_tools import tool

NAMES = [name for name in target_names() if name != "host"]
SOURCE = (
    "float ep_dot(const float *a, const float *b, int n)"
    "{ float s = 0; for (int i = 0; i < n; i++) s += a[i] * b[i]; return s; }\n"
)
# ELF's e_machine, and WebAssembly's magic where there is no ELF.
MACHINES = {"aarch64": 183, "x86_64": 62, "riscv64": 243, "thumb": 40}


def _zig(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", [*NAMES, "host"])
def test_zig_compiles_for_the_board(name: str, tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    target = load_target(name)
    (tmp_path / "dot.c").write_text(SOURCE)
    for triple in filter(None, (target.toolchain.zig_target, target.toolchain.zig_static_target)):
        out = tmp_path / f"{triple}.o"
        done = _zig(
            "-target",
            triple,
            f"-mcpu={target.toolchain.zig_cpu}",
            "-O2",
            "-ffreestanding",
            "-c",
            str(tmp_path / "dot.c"),
            "-o",
            str(out),
        )
        assert done.returncode == 0, done.stderr
        head = out.read_bytes()[:20]
        if target.cpu.arch == "wasm32":
            assert head[:4] == b"\0asm"
        elif head[:4] == b"\x7fELF":  # a Mac's host is Mach-O
            assert int.from_bytes(head[18:20], "little") == MACHINES[target.cpu.arch]


@pytest.mark.parametrize("name", [*NAMES, "host"])
def test_llvm_knows_the_processor_and_its_features(name: str) -> None:
    tvm_target = pytest.importorskip("tvm.target")
    target = load_target(name)
    options = {"kind": "llvm", "mtriple": target.toolchain.llvm_triple, "mcpu": target.cpu.model}
    if target.toolchain.llvm_abi:
        options["mabi"] = target.toolchain.llvm_abi
    features = [f"+{one}" for one in target.cpu.features]
    made = tvm_target.Target({**options, "mattr": features})
    known = {str(one) for one in tvm_target.codegen.llvm_get_cpu_archlist(made)}
    has = {str(one) for one in tvm_target.codegen.llvm_get_cpu_features(made)}
    assert target.cpu.model in known
    assert set(target.cpu.features) <= has
    if target.cpu.arch in ("aarch64", "x86_64") and target.cpu.model != "generic":
        # What the board is said to have, its processor has by itself: nothing is claimed on top.
        alone = tvm_target.codegen.llvm_get_cpu_features(tvm_target.Target(options))
        extra = set(target.cpu.features) - {str(one) for one in alone}
        assert name == "host" or not extra


@pytest.mark.parametrize("name", [*NAMES, "host"])
def test_unicorn_knows_the_model(name: str) -> None:
    tools = load_target(name).toolchain
    if not tools.unicorn:
        assert not tools.unicorn_cpu
        return
    unicorn = pytest.importorskip("unicorn")
    constants, prefix, arch, mode = {
        "arm64": (unicorn.arm64_const, "UC_CPU_ARM64_", unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM),
        "arm": (
            unicorn.arm_const,
            "UC_CPU_ARM_",
            unicorn.UC_ARCH_ARM,
            unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS,
        ),
        "riscv64": (unicorn.riscv_const, "UC_CPU_RISCV64_", unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64),
    }[tools.unicorn]
    machine = unicorn.Uc(arch, mode)
    machine.ctl_set_cpu_model(getattr(constants, prefix + tools.unicorn_cpu))
    machine.mem_map(0x1000, 0x1000)  # the model is set up at the first use


@pytest.mark.parametrize("name", [*NAMES, "host"])
def test_qemu_knows_the_model(name: str) -> None:
    tools = load_target(name).toolchain
    if not tools.qemu:
        assert not tools.qemu_cpu
        return
    program = tool(tools.qemu)
    listed = subprocess.run([program, "-cpu", "help"], capture_output=True, text=True, check=False).stdout
    assert re.search(rf"(^|\s){re.escape(tools.qemu_cpu)}(\s|$)", listed, re.MULTILINE)


# A sum over vectors, then the system call "exit" with it: no C library is needed.
EXITS = {
    "aarch64": 'register long n __asm__("x8")=93, a __asm__("x0")=code;'
    '__asm__ volatile("svc 0"::"r"(n),"r"(a));',
    "riscv64": 'register long n __asm__("a7")=93, a __asm__("a0")=code;'
    '__asm__ volatile("ecall"::"r"(n),"r"(a));',
    "x86_64": '__asm__ volatile("syscall"::"a"(60L),"D"(code));',
}
PROGRAM = """
static volatile float x[64];
void _start(void) {
  float s = 0; float y[64];
  for (int i = 0; i < 64; i++) x[i] = (float)(i & 1);
  for (int i = 0; i < 64; i++) y[i] = x[i] * 2.0f + 0.25f;
  for (int i = 0; i < 64; i++) s += y[i];
  long code = (long)s; EXIT for (;;) ;
}
"""


@pytest.mark.parametrize("name", [one for one in NAMES if load_target(one).toolchain.qemu])
def test_a_program_for_the_board_runs_on_its_emulated_processor(name: str, tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    target = load_target(name)
    program = tool(target.toolchain.qemu)
    (tmp_path / "p.c").write_text(PROGRAM.replace("EXIT", EXITS[target.cpu.arch]))
    made = _zig(
        *(
            "-target",
            target.toolchain.zig_static_target,
            f"-mcpu={target.toolchain.zig_cpu}",
            "-O3",
            "-ffast-math",
        ),
        *("-static", "-nostdlib", "-fno-sanitize=all", "-fno-stack-protector", "-fno-builtin"),
        *(str(tmp_path / "p.c"), "-o", str(tmp_path / "p")),
    )
    assert made.returncode == 0, made.stderr
    done = subprocess.run(
        [program, "-cpu", target.toolchain.qemu_cpu, str(tmp_path / "p")], check=False, timeout=60
    )
    assert done.returncode == 80  # 32 * 2 + 64 * 0.25


def test_a_wrong_processor_is_refused(tmp_path: Path) -> None:
    """The tests above would pass with any name if this one did not."""
    pytest.importorskip("ziglang")
    (tmp_path / "dot.c").write_text(SOURCE)
    done = _zig(
        "-target",
        "aarch64-linux-musl",
        "-mcpu=cortex_a99",
        "-c",
        str(tmp_path / "dot.c"),
        "-o",
        str(tmp_path / "dot.o"),
    )
    assert done.returncode != 0
