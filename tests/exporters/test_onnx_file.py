"""ONNX files that users bring: good ones load, every bad one gives one clear sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgepress.errors import EdgepressError, SourceError, UnsupportedOpError
from edgepress.exporters import fix_shapes, read_onnx
from edgepress.tensor import TensorSpec


def small(batch: int | str = 1, op: str = "Relu") -> onnx.ModelProto:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node(op, ["c"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4, 8, 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


WHOLE = small().SerializeToString()


def test_a_good_file_comes_through(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(WHOLE)
    assert read_onnx(path) == small()


def test_missing_empty_folder_large(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        read_onnx(path)
    with pytest.raises(SourceError, match="is a folder"):
        read_onnx(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(SourceError, match="is empty"):
        read_onnx(path)
    path.write_bytes(WHOLE)
    with pytest.raises(SourceError, match="more than the 100"):
        read_onnx(path, largest_file=100)
    with pytest.raises(SourceError, match="take more than 100"):
        read_onnx(path, largest_model=100)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, len(WHOLE) - 1))
def test_a_truncated_file_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "m.onnx"
    path.write_bytes(WHOLE[:cut])
    try:
        read_onnx(path)
    except SourceError as error:
        assert "\n" not in str(error)
    else:
        # The opset comes last; only what follows it may be missing.
        pytest.fail(f"a file cut at {cut} of {len(WHOLE)} was taken")


@settings(max_examples=80, deadline=None)
@given(place=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255))
def test_a_changed_byte_never_escapes(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "m.onnx"
    path.write_bytes(WHOLE[:place] + bytes([value]) + WHOLE[place + 1 :])
    try:
        fix_shapes(read_onnx(path), [])
    except EdgepressError as error:
        assert "\n" not in str(error)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(min_size=1, max_size=200))
def test_bytes_that_are_no_onnx(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(SourceError):
        read_onnx(path)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(small(op="Frobnicate").SerializeToString())
    with pytest.raises(UnsupportedOpError, match=r"Frobnicate .*'last'"):
        read_onnx(path)


def test_an_invalid_graph(tmp_path: Path) -> None:
    model = small()
    model.graph.node[1].input[0] = "nowhere"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(SourceError, match="no valid ONNX model"):
        read_onnx(tmp_path / "m.onnx")


def external(tmp_path: Path) -> Path:
    path = tmp_path / "model" / "m.onnx"
    path.parent.mkdir()
    onnx.save(small(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    return path


def change(path: Path, **fields: str) -> None:
    model = onnx.load(path, load_external_data=False)
    for item in model.graph.initializer[0].external_data:
        item.value = fields.get(item.key, item.value)
    path.write_bytes(model.SerializeToString())


def test_external_data_is_read(tmp_path: Path) -> None:
    model = read_onnx(external(tmp_path))
    assert np.array_equal(
        numpy_helper.to_array(model.graph.initializer[0]), numpy_helper.to_array(small().graph.initializer[0])
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"location": "../secret.bin"}, "outside its own folder"),
        ({"location": "/etc/passwd"}, "outside its own folder"),
        ({"location": "link.bin"}, "outside its own folder"),
        ({"location": "gone.bin"}, "not there"),
        ({"offset": "-4"}, "does not hold them"),
        ({"offset": "64"}, "does not hold them"),
        ({"offset": "much"}, "no numbers"),
        ({"length": "99999999999"}, "does not hold them"),
    ],
)
def test_external_data_that_is_not_right(tmp_path: Path, fields: dict[str, str], says: str) -> None:
    path = external(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(10_000))
    (path.parent / "link.bin").symlink_to(tmp_path / "secret.bin")
    change(path, **fields)
    with pytest.raises(SourceError, match=says):
        read_onnx(path)


def test_a_tensor_of_absurd_extents_takes_no_memory(tmp_path: Path) -> None:
    model = small()
    model.graph.initializer[0].dims[0] = 1 << 60
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(SourceError, match="take more than"):
        read_onnx(tmp_path / "m.onnx")


def test_open_extents_are_fixed_by_a_spec() -> None:
    with pytest.raises(SourceError, match=r"open shape Nx3x8x8.*--input x:1x3x8x8:float32"):
        fix_shapes(small("N"), [])
    fixed = fix_shapes(small("N"), [TensorSpec("x", (2, 3, 8, 8))])
    assert [dim.dim_value for dim in fixed.graph.output[0].type.tensor_type.shape.dim] == [2, 4, 8, 8]
    ort.InferenceSession(fixed.SerializeToString()).run(None, {"x": np.zeros((2, 3, 8, 8), np.float32)})


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (TensorSpec("image", (1, 3, 8, 8)), "no input 'image'; it takes 'x'"),
        (TensorSpec("x", (1, 4, 8, 8)), "has the shape Nx3x8x8 in the file, not 1x4x8x8"),
        (TensorSpec("x", (1, 3, 8)), "not 1x3x8"),
        (TensorSpec("x", (1, 3, 8, 8), "int8"), "is float32 in the file, not int8"),
    ],
)
def test_a_spec_that_contradicts_the_file(spec: TensorSpec, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        fix_shapes(small("N"), [spec])


def test_an_output_that_depends_on_values() -> None:
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1, "n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(SourceError, match="'y' has no fixed shape"):
        fix_shapes(model, [])


def test_an_unknown_domain_is_named_with_its_operator(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = small()
    model.graph.node[1].op_type, model.graph.node[1].domain = "Frob", "com.acme"
    for version in (0, 1):  # without its import, and with it
        if version:
            model.opset_import.add(domain="com.acme", version=version)
        path.write_bytes(model.SerializeToString())
        with pytest.raises(UnsupportedOpError, match=r"operator Frob \(from node 'last' of .*'com\.acme'\)"):
            read_onnx(path)


def test_a_known_domain_without_its_import(tmp_path: Path) -> None:
    model = small()
    model.graph.node[1].domain = "com.microsoft"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedOpError, match="does not import the domain"):
        read_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("kind", "op", "name"),
    [(TensorProto.STRING, "Identity", "string"), (TensorProto.BFLOAT16, "Abs", "bfloat16")],
)
def test_elements_that_edgepress_does_not_take(tmp_path: Path, kind: int, op: str, name: str) -> None:
    value = helper.make_tensor_value_info("x", kind, [2]), helper.make_tensor_value_info("y", kind, [2])
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", [value[0]], [value[1]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(SourceError, match=f"input 'x' has elements of the type {name}; edgepress takes"):
        read_onnx(tmp_path / "m.onnx")
    with pytest.raises(SourceError, match=f"of the type {name}"):
        fix_shapes(model, [TensorSpec("x", (2,))])


def test_elements_between_the_nodes_are_looked_at_too() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(SourceError, match="tensor 'b' has elements of the type bfloat16"):
        fix_shapes(model, [])
