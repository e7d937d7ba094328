"""The compiled tiny model through ctypes."""

from __future__ import annotations

import gc
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from edgepress.errors import BundleError, TargetError, UsageError
from edgepress.runtimes.native import NativeModel, aligned
from edgepress.targets.compilers.link import Linked
from tests.native.tiny_model import build, example, expected, weights


def test_it_equals_numpy_and_describes_itself(here_library: Path) -> None:
    model = NativeModel(here_library, weights())
    assert (model.name, model.arena_bytes, model.weights_bytes) == ("tiny", 320, 6976)
    assert [(spec.name, spec.shape, spec.dtype) for spec in model.inputs] == [("x", (1, 16), "float32")]
    assert [spec.name for spec in model.outputs] == ["probabilities", "hidden"]
    assert model.layers() == ["dense", "gelu", "classes", "softmax"]
    result = model.run({"x": example()})
    for name, value in expected(example()).items():
        np.testing.assert_allclose(result[name], value, rtol=2e-6, atol=1e-6)


def test_any_number_of_threads_gives_the_same_bytes(here_library: Path) -> None:
    inputs = [np.random.default_rng(i).normal(size=(1, 16)).astype(np.float32) for i in range(50)]
    single = NativeModel(here_library, weights())
    reference = [single.run({"x": x}) for x in inputs]
    for threads in (2, 3, 7, 16):
        model = NativeModel(here_library, weights(), threads=threads)
        for x, wanted in zip(inputs, reference, strict=True):
            given = model.run({"x": x})
            assert all(given[name].tobytes() == wanted[name].tobytes() for name in wanted)


def test_workers_end_with_the_model(here_library: Path) -> None:
    before = threading.active_count()
    model = NativeModel(here_library, weights(), threads=4)
    model.run({"x": example()})
    assert threading.active_count() == before + 3
    del model
    gc.collect()
    assert threading.active_count() == before


def test_idle_threads_use_no_processor_time(here_library: Path) -> None:
    model = NativeModel(here_library, weights(), threads=4)
    model.run({"x": example()})
    before = sum(os.times()[:2])
    threading.Event().wait(0.5)
    assert sum(os.times()[:2]) - before < 0.1
    assert model.name


def test_calls_from_several_threads_do_not_mix(here_library: Path) -> None:
    model = NativeModel(here_library, weights(), threads=2)
    inputs = [np.full((1, 16), i / 8, np.float32) for i in range(8)]
    wanted = [model.run({"x": x})["probabilities"] for x in inputs]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(100):
            if not np.array_equal(model.run({"x": inputs[index]})["probabilities"], wanted[index]):
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_profile_measures_every_layer_of_every_run(here_library: Path) -> None:
    for threads in (1, 2):
        times = NativeModel(here_library, weights(), threads=threads).profile({"x": example()}, 20)
        assert times.shape == (20, 4)
        assert (times > 0).all() and times.sum() < 10
    with pytest.raises(UsageError, match="repeats"):
        NativeModel(here_library, weights()).profile({"x": example()}, 0)


def test_a_bound_run_reads_and_writes_where_it_was_told(here_library: Path) -> None:
    model = NativeModel(here_library, weights(), threads=2)
    inputs = {"x": aligned(64).view(np.float32).reshape(1, 16)}
    outputs = {spec.name: aligned(spec.bytes).view(spec.dtype).reshape(spec.shape) for spec in model.outputs}
    call = model.bind(inputs, outputs)
    for factor in (1, 2):
        inputs["x"][...] = factor * example()
        call()
        for name, value in model.run({"x": factor * example()}).items():
            assert outputs[name].tobytes() == value.tobytes()
    del model
    gc.collect()
    call()  # it keeps the model alive


@pytest.mark.parametrize("wrong", ["missing", "shape", "address", "gaps", "read-only"])
def test_a_bound_run_refuses_what_it_would_have_to_copy(here_library: Path, wrong: str) -> None:
    model = NativeModel(here_library, weights())
    outputs = {spec.name: aligned(spec.bytes).view(spec.dtype).reshape(spec.shape) for spec in model.outputs}
    x = aligned(128).view(np.float32)
    given = {"x": x[:16].reshape(1, 16)}
    if wrong == "missing":
        del outputs["hidden"]
    elif wrong == "shape":
        outputs["hidden"] = outputs["hidden"].reshape(-1)
    elif wrong == "address":
        given = {"x": x[1:17].reshape(1, 16)}
    elif wrong == "gaps":
        given = {"x": x[::2].reshape(1, 16)}
    else:
        outputs["hidden"].flags.writeable = False
    with pytest.raises(UsageError):
        model.bind(given, outputs)


def test_inputs_of_any_layout_and_weights_at_any_address(here_library: Path) -> None:
    reference = NativeModel(here_library, weights()).run({"x": example()})
    shifted = np.frombuffer(b"\0" + weights(), np.uint8)[1:]
    placed = aligned(64).view(np.float32).reshape(1, 16)
    placed[...] = example()
    strided = np.zeros((1, 32), np.float32)
    strided[:, ::2] = example()
    for x in (placed, strided[:, ::2], example()):
        given = NativeModel(here_library, shifted).run({"x": x})
        assert all(given[name].tobytes() == reference[name].tobytes() for name in reference)


def test_wrong_inputs_are_named(here_library: Path) -> None:
    model = NativeModel(here_library, weights())
    with pytest.raises(UsageError, match="'x' is missing"):
        model.run({})
    with pytest.raises(UsageError, match="no input 'y'"):
        model.run({"x": example(), "y": example()})
    with pytest.raises(UsageError, match=r"float32 of shape \(1, 16\), not float64"):
        model.run({"x": example().astype(np.float64)})
    with pytest.raises(UsageError, match="256"):
        NativeModel(here_library, weights(), threads=0)


def test_short_weights_and_foreign_files_are_refused(here_library: Path, pi: Linked, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="100 bytes and the model needs 6976"):
        NativeModel(here_library, weights()[:100])
    with pytest.raises(BundleError, match="0 bytes"):
        NativeModel(here_library, b"")
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(BundleError, match="cannot be loaded"):
        NativeModel(tmp_path / "text.so", weights())
    with pytest.raises(BundleError, match="cannot be loaded"):
        NativeModel(tmp_path / "absent.so", weights())
    assert pi.shared is not None
    if os.uname().machine != "aarch64":
        with pytest.raises(TargetError, match="machine code for aarch64"):
            NativeModel(pi.shared, weights())


def test_a_rebuilt_library_at_the_same_path_is_the_one_that_runs(here_library: Path, tmp_path: Path) -> None:
    place = tmp_path / "libtiny.so"
    shutil.copyfile(here_library, place)
    first = NativeModel(place, weights()).run({"x": example()})
    changed = build("host", tmp_path / "new", define="TINY_OFFSET").shared
    assert changed is not None
    changed.replace(place)
    second = NativeModel(place, weights()).run({"x": example()})
    np.testing.assert_allclose(second["probabilities"], first["probabilities"] + 1, rtol=1e-6)
