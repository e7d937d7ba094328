"""A split network in one process: streams and answers, parts alone, and everything that is not its own stream."""

from __future__ import annotations

import dataclasses
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgepress
from edgepress import SplitSession
from edgepress.coding.split import integers
from edgepress.coding.stream import read_header
from edgepress.errors import BundleError, DataError, OtherStreamError, UsageError
from edgepress.runtimes.session import load_part
from edgepress.runtimes.split_session import SplitResult
from tests.bundles import LABELS, pixels, run_model
from tests.splits import LATENTS, MAP, STEP, described, device_graph, write_split


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split(tmp_path_factory.mktemp("split") / "halves.edge")


@pytest.fixture(scope="module")
def session(path: Path) -> Iterator[SplitSession]:
    """One for the tests that change nothing of it."""
    with opened(path) as found:
        yield found


def opened(path: Path) -> SplitSession:
    session = edgepress.load(path)
    assert isinstance(session, SplitSession)
    return session


def test_a_stream_is_answered_as_both_halves_in_one_process_are(path: Path) -> None:
    with opened(path) as session:
        lengths = []
        for rate in range(2):
            stream = session.encode(pixels(1), rate)
            answer, direct = session.answer(stream, count=3), session.run(pixels(1), 3, rate=rate)
            np.testing.assert_array_equal(answer["scores"], direct["scores"])
            assert [one.name for one in answer.labels] == [one.name for one in direct.labels]
            assert (answer.rate, answer.sent, direct.sent) == (rate, len(stream), None)
            assert len(answer.labels) == 3 and answer.labels[0].name in LABELS
            lengths.append(len(stream))
        assert lengths[0] < lengths[1]
        assert session.encode(pixels(1)) == stream  # the last rate, and the same bytes again


def test_what_is_sent_is_what_the_device_gives_by_its_steps(path: Path) -> None:
    with opened(path) as session:
        (image,) = session.prepare(pixels(2)).values()
        latents = run_model(device_graph(), {"image": image})["latents"]
        for rate in range(2):
            np.testing.assert_array_equal(
                session.integers(pixels(2), rate), integers(latents[0], STEP[rate], 1023)
            )
        header = read_header(session.encode(pixels(2), 0))
        assert (header.kind, header.shape) == ("array", (3, 16, 16))
        assert (header.channels, header.rows, header.columns) == (LATENTS, MAP, MAP)
        assert header.identity == session.split.identity_bytes


def test_values_out_of_reach_are_cut_off_and_what_is_no_number_is_nought() -> None:
    latents = np.array([[[1e30, -1e30, np.nan, np.inf]]], np.float32)
    assert integers(latents, np.ones(1, np.float32), 9).tolist() == [[[9, -9, 0, 9]]]


def test_each_head_answers_the_same_stream(tmp_path: Path) -> None:
    with opened(write_split(tmp_path / "a.edge", ("device", "server", "second"))) as session:
        stream = session.encode(pixels(3))
        first, second = session.answer(stream), session.answer(stream, "second")
        assert not np.array_equal(first["scores"], second["scores"])
        np.testing.assert_array_equal(session.run(pixels(3), head="second")["scores"], second["scores"])


def test_the_whole_network_of_the_device_is_a_session_of_its_own(path: Path) -> None:
    with opened(path) as session:
        local = session.network("local")
        assert local is session.network("local")
        found = local.run(pixels(1))
    with load_part(path, part="local") as alone:
        np.testing.assert_array_equal(found["scores"], alone.run(pixels(1))["scores"])
    with pytest.raises(UsageError, match="closed"):
        local.run(pixels(1))


@pytest.mark.parametrize(("parts", "missing"), [(("device", "local"), "server"), (("server",), "device")])
def test_a_part_alone_does_its_half_and_says_what_is_missing(
    path: Path, tmp_path: Path, parts: tuple[str, ...], missing: str
) -> None:
    with opened(path) as whole, opened(write_split(tmp_path / "part.edge", parts)) as session:
        stream = whole.encode(pixels(1))
        with pytest.raises(UsageError, match=rf"part\.edge holds no part {missing}; take the bundle that"):
            session.run(pixels(1))
        if missing == "server":
            assert session.encode(pixels(1)) == stream
            with pytest.raises(UsageError, match="--server URL"):
                session.answer(stream)
        else:
            np.testing.assert_array_equal(session.answer(stream)["scores"], whole.answer(stream)["scores"])
            with pytest.raises(UsageError, match="holds no part device"):
                session.encode(pixels(1))
        with pytest.raises(UsageError, match=r"no part servr \(did you mean|it has"):
            session.network("servr")


def test_a_stream_of_another_student_is_refused_by_both_names(path: Path, tmp_path: Path) -> None:
    with opened(path) as session, opened(write_split(tmp_path / "b.edge", seed=1, name="other")) as other:
        stream = other.encode(pixels(1))
        with pytest.raises(OtherStreamError) as caught:
            session.answer(stream)
        assert session.split.identity in str(caught.value) and other.split.identity in str(caught.value)
        assert "halves" in str(caught.value) and caught.value.exit_code == 4


def test_a_header_that_lies_is_refused_before_anything_is_decoded(path: Path) -> None:
    """Sizes, shape, kind and rate must be the network's own; none of them takes memory."""
    with opened(path) as session:
        stream = session.encode(pixels(1))
        header = read_header(stream)
        for change in (
            {"channels": LATENTS + 1}, {"rows": 1 << 20, "step": 1}, {"columns": 1}, {"shape": (3, 16)},
            {"kind": "picture"}, {"rate": 2},
        ):  # fmt: skip
            lying = dataclasses.replace(header, **change).to_bytes()
            with pytest.raises(DataError, match="does not fit the student halves"):
                session.answer(lying + stream[len(header.to_bytes()) :])


def test_integers_that_no_encoder_sends_are_refused(path: Path, tmp_path: Path) -> None:
    wide = write_split(tmp_path / "wide.edge")
    narrow = write_split(tmp_path / "narrow.edge", split=dataclasses.replace(described(), highest=1))
    with opened(wide) as encoder, opened(narrow) as session:
        stream = encoder.encode(255 * (pixels(1) > 99).astype(np.uint8))
        with pytest.raises(DataError, match="integers that no encoder sends"):
            session.answer(stream)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_streams_are_refused_with_one_error(session: SplitSession, data: st.DataObject) -> None:
    """Bytes changed, cut off or put in: an answer is given only where the header and all chunks are as they were."""
    stream = bytearray(session.encode(pixels(1)))
    kind = data.draw(st.sampled_from(["flip", "cut", "noise"]))
    if kind == "flip":
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del stream[data.draw(st.integers(0, len(stream) - 1)) :]
    else:
        stream = bytearray(data.draw(st.binary(max_size=200)))
    with pytest.raises(DataError):
        session.answer(bytes(stream))


def test_a_damaged_chunk_says_so(path: Path) -> None:
    with opened(path) as session:
        stream = bytearray(session.encode(pixels(1)))
        stream[-1] ^= 1
        with pytest.raises(DataError, match="damaged"):
            session.answer(bytes(stream))


def test_a_mutated_body_under_a_valid_checksum_decodes_or_is_refused(path: Path) -> None:
    """Whoever writes a stream can write the checksum too."""
    with opened(path) as session:
        stream = session.encode(pixels(1))
        start = len(read_header(stream).to_bytes())
        refused = 0
        for at in range(start + 8, len(stream)):
            changed = bytearray(stream)
            changed[at] ^= 0x55
            head = changed[start + 2 : start + 4]
            changed[start + 4 : start + 8] = zlib.crc32(changed[start + 8 :], zlib.crc32(head)).to_bytes(
                4, "little"
            )
            try:
                assert np.isfinite(session.answer(bytes(changed))["scores"]).all()
            except DataError:
                refused += 1
        assert refused > 0


@pytest.mark.parametrize("rate", [2, -1, True, 0.5, "1"])
def test_rates_that_there_are_not(path: Path, rate: object) -> None:
    with opened(path) as session, pytest.raises(UsageError, match="has 0 to 1"):
        session.encode(pixels(1), rate)  # type: ignore[arg-type]


def test_inputs_that_do_not_fit(path: Path, tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_bytes(b"\xff\xd8 no picture")
    with opened(path) as session:
        with pytest.raises(DataError):
            session.encode(tmp_path / "no.jpg")
        with pytest.raises(DataError, match="no input 'picture'"):
            session.encode({"picture": pixels(1)})


def test_threads_share_a_session(path: Path) -> None:
    with opened(path) as session:
        streams = [session.encode(pixels(seed), seed % 2) for seed in range(6)]
        expected = [session.answer(stream)["scores"] for stream in streams]
        found: dict[int, SplitResult] = {}

        def work(number: int) -> None:
            for turn in range(5):
                at = (number + turn) % 6
                found[number * 5 + turn] = session.answer(session.encode(pixels(at), at % 2))
                np.testing.assert_array_equal(found[number * 5 + turn]["scores"], expected[at])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 20


def test_a_closed_session_says_so(path: Path) -> None:
    session = opened(path)
    stream = session.encode(pixels(1))
    session.close()
    session.close()
    for call in (lambda: session.encode(pixels(1)), lambda: session.answer(stream)):
        with pytest.raises(UsageError, match="is closed"):
            call()


def test_a_part_by_name_is_the_bare_network(path: Path) -> None:
    with edgepress.load(path, part="device") as session:
        assert not isinstance(session, SplitSession)
        assert session.run(pixels(1))["latents"].shape == (1, LATENTS, MAP, MAP)
    with pytest.raises(UsageError, match="edgepress run uses both halves"):
        load_part(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latents": LATENTS + 1}, "take"),  # the steps are too few
        ({"rows": MAP + 1}, "is not as its split says"),
        ({"shape": (3, 16, 17)}, "is not as its split says"),
    ],
)
def test_a_bundle_whose_record_does_not_fit_its_graphs_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    split = dataclasses.replace(described(), **change)  # type: ignore[arg-type]
    wrong = write_split(tmp_path / "wrong.edge", split=split)
    with pytest.raises(BundleError, match=message):
        edgepress.load(wrong)


def test_neither_torch_nor_onnx_is_needed() -> None:
    import subprocess
    import sys

    code = "import sys; import edgepress.runtimes.split_session; print({'torch', 'onnx', 'tvm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
