"""Estimates carry their label and range, and hold against the times that others published."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepress.cost import LayerCost
from edgepress.errors import UsageError
from edgepress.hardware.estimate import compare, estimate_latency
from edgepress.hardware.hwbench import Peak, Peaks
from edgepress.measurement import Measurement
from edgepress.targets import load_target

# ncnn's table (benchmark/README.md), ms: network, board, threads, integer.
PUBLISHED = [
    ("v1", "rpi4", 1, False, 124.3),
    ("v2", "rpi4", 1, False, 93.5),
    ("r50", "rpi4", 1, False, 534.1),
    ("v1", "rpi4", 4, False, 61.2),
    ("v2", "rpi4", 4, False, 61.9),
    ("r50", "rpi4", 4, False, 262.8),
    ("v1", "rpi4", 1, True, 84.8),
    ("r50", "rpi4", 1, True, 424.0),
    ("v1", "rpi4", 4, True, 34.4),
    ("r50", "rpi4", 4, True, 196.7),
    ("v1", "rpi-zero2w", 1, False, 393.9),
    ("v2", "rpi-zero2w", 1, False, 274.2),
    ("r50", "rpi-zero2w", 1, False, 1802.8),
    ("v1", "rpi-zero2w", 4, False, 163.2),
    ("v2", "rpi-zero2w", 4, False, 147.4),
    ("r50", "rpi-zero2w", 4, False, 782.6),
    ("v1", "rpi-zero2w", 1, True, 286.8),
    ("r50", "rpi-zero2w", 1, True, 1313.2),
    ("v1", "rpi-zero2w", 4, True, 91.0),
    ("r50", "rpi-zero2w", 4, True, 497.6),
    ("v1", "rk3588", 1, True, 32.5),
    ("r50", "rk3588", 1, True, 225.8),
    ("v1", "rk3588", 4, True, 8.9),
    ("r50", "rk3588", 4, True, 66.2),
]

# Layer counts, from the tables in the networks' papers.


def _conv(
    layers: list[LayerCost],
    c: int,
    k: int,
    n: int,
    size: int,
    stride: int,
    *,
    depthwise: bool = False,
    integer: bool = False,
) -> int:
    """Append a convolution on ``size`` x ``size``; the size that comes out."""
    out = -(-size // stride)
    weights = k * n * n if depthwise else c * k * n * n
    width = 1 if integer else 4
    layers.append(
        LayerCost(
            name=f"conv{len(layers)}",
            op="DepthwiseConv" if depthwise else "Conv",
            macs=weights * out * out,
            weight_bytes=weights * width + 4 * k,
            activation_bytes=(c * size * size + k * out * out) * width,
            integer=integer,
        )
    )
    return out


def _add(layers: list[LayerCost], elements: int, integer: bool) -> None:
    layers.append(
        LayerCost(f"add{len(layers)}", "Add", elements, 0, 3 * elements * (1 if integer else 4), integer)
    )


def mobilenet_v1(*, integer: bool = False) -> list[LayerCost]:
    """MobileNet 1.0/224 (arXiv 1704.04861, table 1)."""
    layers: list[LayerCost] = []
    size = _conv(layers, 3, 32, 3, 224, 2, integer=integer)
    c = 32
    for k, stride in (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *((512, 1),) * 5,
        (1024, 2),
        (1024, 1),
    ):
        size = _conv(layers, c, c, 3, size, stride, depthwise=True, integer=integer)
        _conv(layers, c, k, 1, size, 1, integer=integer)
        c = k
    _conv(layers, 1024, 1000, 1, 1, 1, integer=integer)
    return layers


def mobilenet_v2(*, integer: bool = False) -> list[LayerCost]:
    """MobileNetV2 1.0/224 (arXiv 1801.04381, table 2)."""
    layers: list[LayerCost] = []
    size = _conv(layers, 3, 32, 3, 224, 2, integer=integer)
    c = 32
    for t, k, n, s in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for index in range(n):
            stride = s if index == 0 else 1
            if t > 1:
                _conv(layers, c, c * t, 1, size, 1, integer=integer)
            size = _conv(layers, c * t, c * t, 3, size, stride, depthwise=True, integer=integer)
            _conv(layers, c * t, k, 1, size, 1, integer=integer)
            if stride == 1 and c == k:
                _add(layers, k * size * size, integer)
            c = k
    _conv(layers, 320, 1280, 1, size, 1, integer=integer)
    _conv(layers, 1280, 1000, 1, 1, 1, integer=integer)
    return layers


def resnet50(*, integer: bool = False) -> list[LayerCost]:
    """ResNet-50 at 224 (arXiv 1512.03385, table 1; the stride is in a block's first 1x1)."""
    layers: list[LayerCost] = []
    size = _conv(layers, 3, 64, 7, 224, 2, integer=integer) // 2
    c = 64
    for mid, n, s in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for index in range(n):
            stride = s if index == 0 else 1
            if index == 0:
                _conv(layers, c, 4 * mid, 1, size, stride, integer=integer)
            size = _conv(layers, c, mid, 1, size, stride, integer=integer)
            _conv(layers, mid, mid, 3, size, 1, integer=integer)
            _conv(layers, mid, 4 * mid, 1, size, 1, integer=integer)
            c = 4 * mid
            _add(layers, c * size * size, integer)
    _conv(layers, 2048, 1000, 1, 1, 1, integer=integer)
    return layers


NETWORKS = {"v1": mobilenet_v1, "v2": mobilenet_v2, "r50": resnet50}


def _value(figure: Measurement) -> float:
    assert figure.value is not None
    return figure.value


def test_the_tables_are_the_networks() -> None:
    for network, macs, weights in (
        (mobilenet_v1, 569e6, 4.2e6),
        (mobilenet_v2, 300.8e6, 3.5e6),
        (resnet50, 3.86e9, 25.5e6),
    ):
        layers = network()
        assert sum(one.macs for one in layers if one.op != "Add") == pytest.approx(macs, rel=0.005)
        assert sum(one.weight_bytes for one in layers) / 4 == pytest.approx(weights, rel=0.02)


@pytest.mark.parametrize(("network", "board", "threads", "integer", "published"), PUBLISHED)
def test_published_times_are_in_range(
    network: str, board: str, threads: int, integer: bool, published: float
) -> None:
    figure = estimate_latency(NETWORKS[network](integer=integer), load_target(board), threads=threads)
    assert figure.low is not None and figure.high is not None
    assert figure.low <= published <= figure.high
    assert figure.value == pytest.approx(published, rel=0.14)  # what the board's file says of its fit


PAIRS = [
    (
        network,
        board,
        threads,
        time / next(row[4] for row in PUBLISHED if row[:4] == (network, board, threads, False)),
    )
    for network, board, threads, integer, time in PUBLISHED
    if integer and board != "rk3588"  # its float networks were timed in fp16
]


@pytest.mark.parametrize(("network", "board", "threads", "ratio"), PAIRS)
def test_published_gains_of_int8_are_in_range(network: str, board: str, threads: int, ratio: float) -> None:
    verdict = compare(
        NETWORKS[network](integer=True), NETWORKS[network](), load_target(board), threads=threads
    )
    assert verdict.faster is True
    assert verdict.ratio.low is not None and verdict.ratio.high is not None
    assert verdict.ratio.low <= ratio <= verdict.ratio.high


@pytest.mark.parametrize(("network", "published"), [("v2", 8.76), ("r50", 53.8)])
def test_fp16_figures_of_the_rk3588(network: str, published: float) -> None:
    half = [
        replace(one, weight_bytes=one.weight_bytes // 2, activation_bytes=one.activation_bytes // 2)
        for one in NETWORKS[network]()
    ]
    assert estimate_latency(half, load_target("rk3588"), threads=4).value == pytest.approx(published, rel=0.1)


def test_the_label() -> None:
    figure = estimate_latency(mobilenet_v2(), load_target("rpi4"), threads=4)
    assert (figure.origin, figure.unit) == ("estimated", "ms")
    for word in ("roofline", "4 threads", "1.8 GHz", "ncnn", "factor of 1.5"):
        assert word in figure.how


@pytest.mark.parametrize("board", ["jetson-nano", "x86-64-v4", "cortex-m7", "riscv64", "wasm32"])
def test_an_unknown_peak_gives_no_figure(board: str) -> None:
    figure = estimate_latency(mobilenet_v2(), load_target(board))
    assert (figure.value, figure.origin) == (None, "unavailable")
    assert board in figure.how and "not known" in figure.how


def test_an_unknown_bandwidth_is_said_and_widens() -> None:
    known = load_target("rpi4")
    figure = estimate_latency(mobilenet_v2(), replace(known, bandwidth_bytes_per_s=None))
    assert "bandwidth is not known" in figure.how
    assert _value(figure) <= _value(estimate_latency(mobilenet_v2(), known))
    assert figure.high is not None and figure.high / _value(figure) == pytest.approx(2.25)


def test_a_board_without_a_fit_says_so() -> None:
    figure = estimate_latency(mobilenet_v2(), replace(load_target("rpi4"), efficiency=None))
    assert "no figures of this board" in figure.how
    assert figure.high is not None and figure.high / _value(figure) == pytest.approx(3.0)


def test_threads() -> None:
    board, layers = load_target("rpi4"), resnet50()
    times = [_value(estimate_latency(layers, board, threads=count)) for count in (1, 2, 4)]
    assert times == sorted(times, reverse=True)
    assert estimate_latency(layers, board, threads=64) == estimate_latency(layers, board, threads=0)
    with pytest.raises(UsageError, match="-1 threads"):
        estimate_latency(layers, board, threads=-1)


def test_nothing_takes_no_time() -> None:
    assert estimate_latency([], load_target("rpi4")).value == 0.0


@pytest.mark.parametrize("board", ["rpi4", "rpi5", "rk3588", "rpi-zero2w"])
def test_int8_pays_where_others_saw_it_pay(board: str) -> None:
    for network in (mobilenet_v1, mobilenet_v2):
        verdict = compare(network(integer=True), network(), load_target(board), threads=1)
        assert verdict.faster is True
        assert verdict.ratio.origin == "estimated" and "roofline" in verdict.ratio.how


def test_the_ratio_of_a_pi_4_is_onnx_runtimes() -> None:
    """0.398 instructions per multiply-add in int8 against 0.601 in fp32 (MobileNetV2, one thread)."""
    verdict = compare(mobilenet_v2(integer=True), mobilenet_v2(), load_target("rpi4"), threads=1)
    assert verdict.ratio.value == pytest.approx(0.398 / 0.601, rel=0.05)


@pytest.mark.parametrize(
    ("board", "ratio"), [("jetson-nano", 0.66), ("jetson-orin-nano", 0.33), ("android-arm64", 0.66)]
)
def test_without_a_peak_the_ratio_is_counted(board: str, ratio: float) -> None:
    verdict = compare(mobilenet_v2(integer=True), mobilenet_v2(), load_target(board))
    assert verdict.ratio.value == pytest.approx(ratio)
    assert verdict.faster is True and "instructions" in verdict.ratio.how
    assert verdict.candidate.origin == "unavailable"


@pytest.mark.parametrize("board", ["x86-64-v3", "riscv64", "cortex-m55", "wasm32"])
def test_without_counts_nothing_is_claimed(board: str) -> None:
    verdict = compare(mobilenet_v2(integer=True), mobilenet_v2(), load_target(board))
    assert (verdict.faster, verdict.ratio.origin, verdict.ratio.value) == (None, "unavailable", None)


def test_equal_networks_are_not_faster() -> None:
    for board in ("rpi4", "jetson-nano"):
        verdict = compare(mobilenet_v2(), mobilenet_v2(), load_target(board))
        assert verdict.faster is False and verdict.ratio.value == pytest.approx(1.0)


def test_an_empty_reference_gives_no_ratio() -> None:
    for board in ("rpi4", "jetson-nano"):
        assert compare(mobilenet_v2(), [], load_target(board)).faster is None


counts = st.integers(min_value=0, max_value=10**12)
layer = st.builds(
    LayerCost,
    name=st.just("l"),
    op=st.sampled_from(["Conv", "DepthwiseConv", "Add"]),
    macs=counts,
    weight_bytes=counts,
    activation_bytes=counts,
    integer=st.booleans(),
)


@given(layers=st.lists(layer, max_size=5), more=layer, board=st.sampled_from(["rpi4", "rpi5", "rpi-zero2w"]))
def test_more_work_never_takes_less_time(layers: list[LayerCost], more: LayerCost, board: str) -> None:
    target = load_target(board)
    before = estimate_latency(layers, target)
    after = estimate_latency([*layers, more], target)
    assert math.isfinite(_value(after)) and _value(after) >= _value(before)
    assert after.low is not None and after.high is not None and after.low <= _value(after) <= after.high


def test_what_was_measured_of_the_machine_goes_before_its_boards_file() -> None:
    """Twice the peaks and the bandwidth, half the time; the label says where they are from."""
    board, layers = load_target("rpi4"), mobilenet_v2()
    one, two = (
        estimate_latency(
            layers, board, threads=1, peaks=Peaks("x", 16, "dot", (Peak(1, f * 1e10, f * 4e10, f * 1e10),))
        )
        for f in (1, 2)
    )
    assert _value(one) == pytest.approx(2 * _value(two))
    assert "edgepress hwbench measured" in one.how and one.origin == "estimated"
    assert one.low is not None and one.high is not None and one.low < _value(one) < one.high
    # A board of which nothing is known gets a figure, too, once it was measured.
    assert estimate_latency(layers, load_target("host")).value is None
    peaks = Peaks("x", 16, "dot", (Peak(1, 1e11, 4e11, 1e10),))
    assert estimate_latency(layers, load_target("host"), peaks=peaks).value is not None
    assert compare(mobilenet_v2(integer=True), layers, load_target("host"), peaks=peaks).faster
