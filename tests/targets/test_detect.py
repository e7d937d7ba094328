"""The host target, on the texts that several machines give."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepress.errors import TargetError
from edgepress.targets import Target, host_target, load_target
from edgepress.targets.detect import not_the_board

ZEN5 = (
    "fpu sse sse2 ht pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c lahf_lm abm "
    "bmi1 avx2 bmi2 avx512f avx512dq avx512cd avx512bw avx512vl avx_vnni avx512_vnni avx512_bf16 gfni"
)
HASWELL = "sse2 pni ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt xsave avx f16c lahf_lm abm bmi1 avx2 bmi2"
PI4 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n"
PI5 = (
    "processor\t: 0\nFeatures\t: fp asimd evtstrm aes sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc "
    "dcpop asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n"
)


def _machine(root: Path, cpuinfo: str, extra: dict[str, str] | None = None) -> Path:
    for name, text in {"proc/cpuinfo": cpuinfo, **(extra or {})}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def _linux(root: Path, machine: str, cores: int = 4) -> Target:
    return host_target(root, machine=machine, system="Linux", cores=cores)


@pytest.mark.parametrize(
    ("flags", "model", "bits", "zig"),
    [
        (ZEN5, "x86-64-v4", 512, "x86_64_v4+avx512vnni+avxvnni"),
        (HASWELL, "x86-64-v3", 256, "x86_64_v3"),
        ("sse2 pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm", "x86-64-v2", 128, "x86_64_v2"),
        ("sse2", "x86-64", 128, "x86_64"),
        ("", "x86-64", 128, "x86_64"),
    ],
)
def test_x86_levels(tmp_path: Path, flags: str, model: str, bits: int, zig: str) -> None:
    host = _linux(_machine(tmp_path, f"model name\t: Some CPU\nflags\t\t: {flags}\n"), "x86_64")
    assert (host.cpu.model, host.cpu.vector_bits, host.toolchain.zig_cpu) == (model, bits, zig)
    assert (host.title, host.activations, host.cpu.cores, host.kind) == ("Some CPU", "uint8", 4, "host")


def test_a_level_lacking_one_flag_is_the_one_below(tmp_path: Path) -> None:
    host = _linux(_machine(tmp_path, f"flags : {ZEN5.replace('avx512cd', '')}\n"), "AMD64")
    assert host.cpu.model == "x86-64-v3"


@pytest.mark.parametrize(("text", "board", "activations"), [(PI4, "rpi4", "uint8"), (PI5, "rpi5", "int8")])
def test_a_pi_knows_itself(tmp_path: Path, text: str, board: str, activations: str) -> None:
    root = _machine(
        tmp_path,
        text,
        {
            "proc/device-tree/model": "Raspberry Pi\0",
            "proc/meminfo": "MemTotal:        3884396 kB\nMemFree: 1 kB\n",
            "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
            "sys/devices/system/cpu/cpu0/cache/index0/type": "Data\n",
            "sys/devices/system/cpu/cpu0/cache/index0/level": "1\n",
            "sys/devices/system/cpu/cpu0/cache/index0/size": "32K\n",
            "sys/devices/system/cpu/cpu0/cache/index1/type": "Instruction\n",
            "sys/devices/system/cpu/cpu0/cache/index1/level": "1\n",
            "sys/devices/system/cpu/cpu0/cache/index1/size": "48K\n",
        },
    )
    host, target = _linux(root, "aarch64"), load_target(board)
    assert (host.cpu.model, host.cpu.features) == (target.cpu.model, target.cpu.features)
    assert (host.activations, host.title, host.memory_bytes) == (activations, "Raspberry Pi", 3884396 * 1024)
    assert (host.cpu.clock_hz, host.cpu.cache.l1d, host.cpu.cache.l2) == (1.8e9, 32768, None)
    assert not_the_board(target, host) == ""


def test_an_unknown_arm_core_is_generic(tmp_path: Path) -> None:
    host = _linux(_machine(tmp_path, PI5.replace("0xd0b", "0xfff")), "aarch64")
    assert (host.cpu.model, host.toolchain.zig_cpu) == ("generic", "generic+dotprod")


def test_riscv(tmp_path: Path) -> None:
    host = _linux(_machine(tmp_path, "isa\t: rv64imafdc_zicsr_zba\nuarch\t: sifive,u74-mc\n"), "riscv64")
    assert (host.cpu.model, host.cpu.features) == ("generic-rv64", ("a", "c", "d", "f", "m"))
    assert (host.toolchain.zig_cpu, host.toolchain.llvm_abi) == ("baseline_rv64", "lp64d")


def test_mac() -> None:
    answers = {
        "machdep.cpu.brand_string": "Apple M2",
        "hw.l1dcachesize": "65536",
        "hw.l2cachesize": "4194304",
    }
    host = host_target(machine="arm64", system="Darwin", cores=8, sysctl=lambda name: answers.get(name, ""))
    assert (host.cpu.arch, host.cpu.model, host.title, host.activations) == (
        "aarch64",
        "apple-m1",
        "Apple M2",
        "int8",
    )
    assert (host.toolchain.llvm_triple, host.toolchain.zig_target) == (
        "arm64-apple-macos11.0",
        "aarch64-macos",
    )
    assert (host.cpu.cache.l1d, host.memory_bytes) == (65536, None)


def test_intel_mac() -> None:
    answers = {
        "machdep.cpu.features": "SSE SSE2 SSE3 SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT XSAVE AVX1.0 F16C",
        "machdep.cpu.leaf7_features": "BMI1 AVX2 BMI2",
        "machdep.cpu.extfeatures": "LAHF LZCNT",
    }
    host = host_target(machine="x86_64", system="Darwin", cores=4, sysctl=lambda name: answers.get(name, ""))
    assert (host.cpu.model, host.toolchain.llvm_triple) == ("x86-64-v3", "x86_64-apple-macos11.0")


@pytest.mark.parametrize(
    "text", ["", "\0\xff", "flags", ":::\n:", "CPU part : zz\nCPU implementer:\nFeatures:\n" * 9]
)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_odd_texts_only_leave_things_out(tmp_path: Path, text: str, machine: str) -> None:
    host = _linux(_machine(tmp_path, text, {"proc/meminfo": "MemTotal: lots kB"}), machine)
    assert host.memory_bytes is None and host.cpu.clock_hz is None


def test_no_proc_at_all(tmp_path: Path) -> None:
    assert _linux(tmp_path, "aarch64").cpu.model == "generic"


def test_other_processors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="s390x"):
        _linux(tmp_path, "s390x")


def test_what_a_machine_is_not(tmp_path: Path) -> None:
    host = _linux(_machine(tmp_path, f"flags : {HASWELL}\n"), "x86_64")
    assert "aarch64" in not_the_board(load_target("rpi4"), host)
    assert "avx512f" in not_the_board(load_target("x86-64-v4"), host)
    assert not_the_board(load_target("x86-64-v3"), host) == ""
    assert not_the_board(host, host) == ""
    pi = _linux(_machine(tmp_path / "pi", PI4), "aarch64")
    assert "dotprod" in not_the_board(load_target("rpi5"), pi)
    assert "android" in not_the_board(load_target("android-arm64"), pi)


def test_this_machine() -> None:
    host = load_target("host")
    assert host.cpu.cores >= 1 and host.engines == ("aot", "ort")
    assert not_the_board(host, host) == ""
