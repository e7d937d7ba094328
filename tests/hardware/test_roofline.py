"""Rooflines: the share of the peak, and which engine they make the faster one."""

from __future__ import annotations

import pytest

from edgepress.bundle.layers import KernelLayer
from edgepress.hardware.engine_estimate import aot_over_ort
from edgepress.hardware.hwbench import CacheRead, Peak, Peaks
from edgepress.hardware.layers import Layer, shares, with_costs
from edgepress.hardware.roofline import model_bytes, roof_of
from edgepress.targets import load_target

PEAK = Peak(1, 100e9, 400e9, 10e9, (CacheRead(1000, 200e9), CacheRead(100_000, 50e9)))


def test_bytes_come_from_the_smallest_cache_that_holds_them() -> None:
    assert [PEAK.reads(size) for size in (10, 1000, 1001, 100_001)] == [200e9, 200e9, 50e9, 10e9]


def test_the_roof_is_the_longer_of_two_times() -> None:
    dense = KernelLayer("a", "Conv", "tile", operations=100_000_000, activation_bytes=1000)
    assert (roof_of(dense, PEAK, 10).ms, roof_of(dense, PEAK, 10).bound) == (1.0, "compute")
    eight = KernelLayer("a", "Conv", "tile_dot", operations=100_000_000, integer=True)
    assert roof_of(eight, PEAK, 10).ms == 0.25
    moved = KernelLayer("a", "Add", "plain", operations=10, activation_bytes=50_000, weight_bytes=1_000_000)
    roof = roof_of(moved, PEAK, 1_000_000)
    assert roof.ms == pytest.approx(1e3 * (50_000 / 50e9 + 1e6 / 10e9)) and roof.bound == "memory"
    assert roof.share(roof.ms * 2) == 0.5
    assert roof.share(0.0) is None


def test_a_model_touches_its_weights_and_its_arena() -> None:
    layers = [
        KernelLayer("a", "Conv", "tile", weight_bytes=7),
        KernelLayer("b", "Conv", "tile", weight_bytes=3),
    ]
    assert model_bytes(layers, 90) == 100
    assert model_bytes(layers, None) == 10


def test_costs_are_found_by_the_names_that_onnx_runtime_gives() -> None:
    costs = [
        KernelLayer("one", "Conv", "", ("clip",), operations=10),
        KernelLayer("clip", "Clip", "", operations=5),
        KernelLayer("two", "Gemm", "", operations=20),
        KernelLayer("three", "MatMul", "", operations=30),
    ]
    timed = shares(
        [("clip_nchwc", "Conv", 1.0), ("clip", "Clip", 1.0), ("two_token_17", "QGemm", 1.0),
         ("three/MatmulTransposeFusion//MatMulScaleFusion/", "FusedMatMul", 1.0), ("clip", "Conv", 0.0),
         ("other", "Transpose", 1.0), ("two", "Transpose", 1.0)]
    )  # fmt: skip
    found = [layer.cost.name if layer.cost else "" for layer in with_costs(timed, costs, PEAK, None)]
    assert found == ["one", "clip", "two", "three", "one", "", ""]


def test_layers_of_the_compiled_engine_are_found_by_their_whole_name() -> None:
    costs = [
        KernelLayer("a:pad", "Conv", "plain", ("a",)),
        KernelLayer("a", "Conv", "tile", ("a",), operations=9),
    ]
    (layer,) = with_costs([Layer("a", "", 1.0, 1.0)], costs, PEAK, None)
    assert layer.cost == costs[1] and layer.op == "Conv"
    data = layer.to_json()
    assert (data["kernel"], data["bound"], data["origin"]) == ("tile", "compute", "measured")


def test_plain_loops_lose_against_onnx_runtime_and_tiles_win() -> None:
    macs = 200_000_000
    nodes = [KernelLayer("a", "Conv", "", macs=macs, operations=2 * macs, activation_bytes=1 << 20)]
    for kernel, wins in (("tile", True), ("plain", False), ("TVM", False)):
        own = [KernelLayer("a", "Conv", kernel, macs=macs, operations=2 * macs, activation_bytes=1 << 20)]
        for peaks in (None, Peaks("a processor", 64, "dot", (PEAK,))):
            ratio = aot_over_ort(own, nodes, 0, load_target("x86-64-v4"), peaks)
            assert ratio is not None and ratio.value is not None and ratio.origin == "estimated"
            assert (ratio.value < 1) == wins
    assert aot_over_ort(nodes, nodes, 0, load_target("rpi4")) is None


def test_ternary_kernels_win_by_what_was_measured_of_single_layers() -> None:
    # Times that the benchmark of dense layers found on this processor, over those of ONNX Runtime on the graph.
    peaks = Peaks("a processor", 64, "dot", (Peak(1, 271e9, 1092e9, 45e9, (CacheRead(32 << 20, 121e9),)),))
    for rows, width, measured in (
        (1, 2048, 1 / 4.95),
        (1, 4096, 1 / 5.14),
        (16, 2048, 1 / 1.4),
        (64, 2048, 1 / 1.45),
    ):
        macs = rows * width * width
        own, node = (
            KernelLayer(
                "a", "MatMulInteger", kernel, macs=macs, operations=2 * macs, integer=True,
                weight_bytes=width * width // share, activation_bytes=5 * rows * width,
            )
            for kernel, share in (("ternary", 4), ("", 1))
        )  # fmt: skip
        ratio = aot_over_ort([own], [node], 0, load_target("x86-64-v4"), peaks)
        assert ratio is not None and ratio.low is not None and ratio.high is not None
        assert ratio.low < measured < ratio.high
