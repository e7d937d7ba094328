"""Measuring codecs: the points of their curves, the comparison, and what is left out."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepress.errors import DataError, UsageError
from edgepress.evaluate import classifier, trial
from edgepress.evaluate.codec import CodecEvaluation, evaluate_codec
from edgepress.evaluate.picture_codec import Picture
from edgepress.evaluate.trial import coded
from edgepress.metrics.signal import psnr_db
from edgepress.metrics.ssim import ms_ssim, ssim
from tests.bundles import write_tiny
from tests.evaluate.coarse_codec import CoarseCodec


def write(folder: Path, name: str, rows: int, columns: int) -> Picture:
    """A picture file of slopes and noise, and its samples."""
    folder.mkdir(exist_ok=True)
    r, c = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    noise = np.random.default_rng(rows).integers(0, 90, (rows, columns, 3))
    picture = ((r + 2 * c)[:, :, None] % 160 + noise).astype(np.uint8)
    Image.fromarray(picture).save(folder / name)
    return picture


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures of different size."""
    write(tmp_path / "pictures", "a.png", 180, 200)
    write(tmp_path / "pictures", "b.png", 190, 177)
    return tmp_path / "pictures"


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run is enough where no time is looked at."""
    monkeypatch.setattr(trial, "_MOST_RUNS", 1)


def measure(folder: Path, *others: CoarseCodec, codec: CoarseCodec | None = None) -> CodecEvaluation:
    """Without a classifier."""
    return evaluate_codec(codec or CoarseCodec(), folder, others, classifier="none")


def test_the_figures_are_means_of_the_pictures_own(pictures: Path) -> None:
    codec, found = CoarseCodec(), measure(pictures)
    originals = [np.asarray(Image.open(path)) for path in sorted(pictures.iterdir())]
    assert found.pictures == 2
    assert found.megapixels == pytest.approx((180 * 200 + 190 * 177) / 1e6)
    (curve,) = found.curves
    assert [point.rate for point in curve.points] == [2, 3, 4, 5]  # in order of their bits
    for point in curve.points:
        streams = [codec.encode(picture, point.rate) for picture in originals]
        pairs = [(a, codec.decode(b)) for a, b in zip(originals, streams, strict=True)]
        bits = [8 * len(s) / (a.shape[0] * a.shape[1]) for a, s in zip(originals, streams, strict=True)]
        assert point.bits_per_pixel.value == pytest.approx(np.mean(bits))
        assert point.psnr.value == pytest.approx(np.mean([psnr_db(a, b) for a, b in pairs]))
        assert point.ssim.value == pytest.approx(np.mean([ssim(a, b) for a, b in pairs]))
        assert point.ms_ssim.value == pytest.approx(np.mean([ms_ssim(a, b) for a, b in pairs]))
        assert {point.psnr.origin, point.ssim.origin, point.encode.origin} == {"measured"}
        assert point.encode.low is not None and point.encode.value is not None
        assert 0 < point.encode.low <= point.encode.value
        assert "BT.601" in point.ssim.how and "one thread" in point.decode.how
        assert (point.agreement.origin, point.agreement.how) == ("unavailable", "no classifier was asked for")


def test_what_differs_by_size_alone_differs_by_that(pictures: Path) -> None:
    """The same pictures at the same quality: the BD-rate is what the bytes for nothing cost."""
    found = measure(pictures, CoarseCodec("padded", extra=4000))
    (beside,) = found.comparisons
    values = [rate.value for rate in beside.rates]
    assert all(value is not None and value < 0 for value in values)
    assert beside.verdict.startswith("coarse wins against padded: it needs ")
    assert beside.verdict.count("fewer bits at the same") == 3 and "but" not in beside.verdict
    back = measure(pictures, CoarseCodec(), codec=CoarseCodec("padded", extra=4000)).comparisons[0]
    assert back.verdict.startswith("padded loses to coarse: it needs ") and "more bits" in back.verdict
    for there, here in zip(beside.rates, back.rates, strict=True):
        assert there.value is not None and here.value is not None
        assert (1 + there.value / 100) * (1 + here.value / 100) == pytest.approx(1)
        assert "monotone cubic through 4 and 4 points" in there.how


def test_equal_codecs_are_said_to_be_equal(pictures: Path) -> None:
    beside = measure(pictures, CoarseCodec("twin")).comparisons[0]
    assert beside.verdict.startswith("coarse needs as many bits as twin at the same PSNR, SSIM and MS-SSIM; ")


def test_curves_without_a_common_quality_are_said_not_to_have_one(pictures: Path) -> None:
    found = measure(pictures, CoarseCodec("fine", rates=(6, 7)), codec=CoarseCodec(rates=(1, 2)))
    (beside,) = found.comparisons
    assert {rate.origin for rate in beside.rates} == {"unavailable"} and set(beside.over) == {None}
    assert "coarse cannot be held against fine: the curves reach no quality in common: fine's goes from" in (
        beside.verdict
    )


def test_one_rate_is_no_curve(pictures: Path) -> None:
    beside = measure(pictures, CoarseCodec("other"), codec=CoarseCodec(rates=(3,))).comparisons[0]
    assert "coarse's curve has 1 points; two are the least" in beside.verdict


def test_curves_that_cross_are_said_to_cross(pictures: Path) -> None:
    class Padded(CoarseCodec):
        """Dear where it is fine."""

        def encode(self, picture: Picture, rate: float) -> bytes:
            return super().encode(picture, rate) + bytes(int(12000 * (rate - 2)))

    dear_when_coarse = CoarseCodec("coarse", extra=15000)
    (beside,) = measure(pictures, Padded("padded"), codec=dear_when_coarse).comparisons
    reach = beside.over[0]
    assert reach is not None and reach.at_low > 0 > reach.at_high
    assert " % more bits at " in beside.verdict.partition("(but ")[2]
    assert " dB)" in beside.verdict


def test_what_loses_nothing_has_no_finite_psnr_and_leaves_the_curve(pictures: Path) -> None:
    found = measure(pictures, CoarseCodec("twin", rates=(2, 3, 4)), codec=CoarseCodec(rates=(2, 3, 4, 8)))
    assert found.curves[0].points[-1].psnr.value == math.inf
    how = found.comparisons[0].rates[0].how
    assert "through 3 and 3 points" in how and how.endswith("no better, left out: 1 of coarse")
    assert "left out" not in measure(pictures, CoarseCodec("twin")).comparisons[0].rates[0].how


def test_a_rate_that_costs_more_and_is_no_better_leaves_the_curve(pictures: Path) -> None:
    class Wasteful(CoarseCodec):
        def encode(self, picture: Picture, rate: float) -> bytes:
            return super().encode(picture, rate) + bytes(200_000 * (rate == 2))

    found = measure(pictures, CoarseCodec("twin"), codec=Wasteful("wasteful")).comparisons[0]
    without = measure(
        pictures, CoarseCodec("twin"), codec=CoarseCodec("wasteful", rates=(3, 4, 5))
    ).comparisons[0]
    assert [rate.value for rate in found.rates] == [rate.value for rate in without.rates]
    assert found.over == without.over and found.over[0] is not None
    assert "left out: 1 of wasteful" in found.rates[0].how


def test_a_picture_that_one_codec_refuses_is_left_out_for_all(pictures: Path) -> None:
    (pictures / "broken.png").write_bytes(b"no picture")
    found = measure(pictures, CoarseCodec("picky", refuses=180))
    assert found.pictures == 1
    assert {Path(name).name: reason for name, reason in found.unreadable.items()}["a.png"].endswith(
        "a.png: picky does not take 180 rows"
    )
    assert len(found.unreadable) == 2
    assert all("mean of 1 picture," in point.psnr.how for curve in found.curves for point in curve.points)


def test_small_pictures_have_what_can_be_measured(tmp_path: Path) -> None:
    write(tmp_path / "mixed", "large.png", 180, 180)
    write(tmp_path / "mixed", "small.png", 40, 12)
    write(tmp_path / "mixed", "tiny.png", 1, 1)
    point = measure(tmp_path / "mixed").curves[0].points[0]
    assert "mean of 3 pictures" in point.psnr.how
    assert (
        "mean of 2 pictures" in point.ssim.how and "1 picture smaller than 11 x 11 left out" in point.ssim.how
    )
    assert (
        "mean of 1 picture," in point.ms_ssim.how and "2 pictures smaller than 176 x 176" in point.ms_ssim.how
    )
    write(tmp_path / "tiny", "tiny.png", 1, 1)
    found = measure(tmp_path / "tiny", CoarseCodec("twin"))
    assert found.curves[0].points[0].ssim.how == "no picture has 11 rows and columns"
    assert "has 0 points" in found.comparisons[0].rates[1].how


def test_nothing_that_can_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 1 files .* can be used; the first: .*a\.png"):
        measure(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        measure(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="held against itself"):
        measure(tmp_path, CoarseCodec())


def test_a_codec_that_gives_another_form_back_is_found_out() -> None:
    class Cropping(CoarseCodec):
        def decode(self, stream: bytes) -> Picture:
            return super().decode(stream)[:-1]

    with pytest.raises(DataError, match=r"coarse makes uint8 \(3, 5, 3\) of a picture of uint8 \(4, 5, 3\)"):
        coded(Cropping(), np.zeros((4, 5, 3), np.uint8), 3)


def test_a_bundle_judges_the_decoded_pictures(pictures: Path, tmp_path: Path) -> None:
    bundle = write_tiny(tmp_path / "tiny.edge")
    fine, one_bit = (
        evaluate_codec(CoarseCodec(rates=rates), pictures, classifier=str(bundle))
        for rates in ((8, 7), (1, 2))
    )
    best = fine.curves[0].points[-1].agreement
    assert best.value == 1 and best.low is not None and best.low < 0.5  # two pictures prove little
    assert "tiny.edge" in fine.classifier and "Wilson" in best.how
    found = one_bit.curves[0].points[0].agreement
    assert found.value is not None and 0 <= found.value <= 1


def test_where_the_zoos_network_cannot_be_built_the_agreement_says_why(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "find_spec", lambda name: None)
    found = evaluate_codec(CoarseCodec(), pictures)
    assert "needs torch; install it with: pip install 'edgepress[build]'" in found.classifier
    assert found.curves[0].points[0].agreement.how == found.classifier


def test_what_is_quick_runs_several_times_and_what_is_slow_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now, left = 0.0, [0.0]

    def work() -> int:
        nonlocal now
        now += left.pop(0)
        return len(left)

    monkeypatch.setattr(trial, "_MOST_RUNS", 5)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    for costs, runs, best in (
        ([0.005, 0.004, 0.003, 0.004, 0.005, 9], 5, 0.003),
        ([0.02, 0.011, 9], 2, 0.011),
        ([1.0, 9], 1, 1.0),
    ):
        left[:] = costs
        result, seconds = trial._timed(work)
        assert result == len(left) == len(costs) - runs
        assert seconds == pytest.approx(best)
