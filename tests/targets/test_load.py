"""Boards load, own boards inherit, and each kind of bad file gives one sentence."""

from __future__ import annotations

import math
import os
import types
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.errors import TargetError, UsageError
from edgepress.records import RecordError, decode, encode
from edgepress.targets import Target, describe, load_target, target_names
from edgepress.targets.check import checked
from edgepress.targets.load import BOARDS

WANTED = {
    "rpi4",
    "rpi5",
    "rpi-zero2w",
    "jetson-nano",
    "jetson-orin-nano",
    "rk3588",
    "android-arm64",
    "x86-64-v3",
    "x86-64-v4",
    "riscv64",
    "cortex-m7",
    "cortex-m55",
    "wasm32",
    "host",
}


def _board(folder: Path, text: str, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_every_board_is_there() -> None:
    assert set(target_names()) == WANTED
    assert {path.stem for path in BOARDS.glob("*.toml")} == WANTED - {"host"}


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_board_loads_and_survives_json(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert decode(Target, encode(target)) == target
    assert target.title in describe(target)


@pytest.mark.parametrize("name", sorted(WANTED - {"host"}))
def test_figures_have_a_source(name: str) -> None:
    for figure in load_target(name).published:
        assert figure.origin == "published"
        assert figure.how
        assert figure.value is not None and math.isfinite(figure.value)
        assert (figure.low is None) == (figure.high is None)
        assert figure.low is None or figure.high is None or figure.low <= figure.value <= figure.high


@pytest.mark.parametrize("name", sorted(WANTED - {"host"}))
def test_the_rules_of_boards(name: str) -> None:
    target = load_target(name)
    if target.cpu.arch == "x86_64" or (target.cpu.arch == "aarch64" and "dotprod" not in target.cpu.features):
        assert target.activations == "uint8"
    if "dotprod" in target.cpu.features:
        assert target.activations == "int8"
    assert target.engines == (("aot", "ort") if target.runtime.onnxruntime else ("aot",))
    assert target.cpu.vector_bits == 0 or target.cpu.vector_registers > 0


def test_the_old_board_has_old_limits() -> None:
    nano = load_target("jetson-nano").runtime
    assert (nano.onnxruntime, nano.max_ir, nano.max_opset) == ("1.10", 8, 15)


def test_a_board_of_ones_own(tmp_path: Path) -> None:
    mine = load_target(_board(tmp_path, 'base = "rpi4"\ntitle = "Old Pi"\n[cpu]\nclock_hz = 1_500_000_000\n'))
    theirs = load_target("rpi4")
    assert (mine.name, mine.title, mine.cpu.clock_hz) == ("mine", "Old Pi", 1.5e9)
    assert (mine.cpu.model, mine.toolchain, mine.efficiency) == (
        theirs.cpu.model,
        theirs.toolchain,
        theirs.efficiency,
    )
    assert theirs.published and mine.published == ()


def test_a_base_beside_the_file_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _board(tmp_path, 'base = "rpi5"\ncpu.cores = 2\n', "low.toml")
    top = _board(tmp_path, 'base = "low.toml"\ncpu.features = ["neon"]\n', "top.toml")
    monkeypatch.chdir("/")
    target = load_target(top)
    assert (target.title, target.cpu.cores, target.cpu.features) == ("top", 2, ("neon",))


@pytest.mark.parametrize(
    ("text", "needles"),
    [
        ('base = "rpi4"\n[cpu]\nclok_hz = 1e9', ("mine.toml", "[cpu]", "'clok_hz'", "'clock_hz'")),
        ('base = "rpi4"\ncpus = 3', ("mine.toml", "'cpus'", "'cpu'")),
        ('base = "rpi4"\nzzzz = 3', ("'zzzz'", "known keys are")),
        ('base = "rpi4"\ncpu = 3', ("the number 3", "'cpu'", "a table")),
        ('base = "rpi4"\ncpu.cores = "four"', ("text", "'cpu.cores'", "a whole number")),
        ('base = "rpi4"\ncpu.cores = true', ("not true", "'cpu.cores'")),
        ('base = "rpi4"\ncpu.cores = 1.5', ("the number 1.5", "'cpu.cores'")),
        ('base = "rpi4"\ncpu.cores = 0', ("0", "'cpu.cores'", "above 0")),
        ('base = "rpi4"\ncpu.clock_hz = -1', ("'cpu.clock_hz'", "above 0")),
        ('base = "rpi4"\ncpu.clock_hz = nan', ("'cpu.clock_hz'", "finite")),
        ('base = "rpi4"\ncpu.clock_hz = inf', ("'cpu.clock_hz'", "finite")),
        (f'base = "rpi4"\ncpu.clock_hz = 1{"0" * 400}', ("'cpu.clock_hz'", "finite")),
        ('base = "rpi4"\ncpu.features = "neon"', ("text", "'cpu.features'", "a list")),
        ('base = "rpi4"\ncpu.features = [1]', ("'cpu.features[0]'", "text")),
        ('base = "rpi4"\ncpu.arch = "vax"', ("'vax'", "'cpu.arch'", "aarch64")),
        ('base = "rpi4"\nactivations = "int4"', ("'int4'", "uint8, int8")),
        ('base = "rpi4"\nengines = []', ("engines", "aot")),
        ('base = "rpi4"\npublished = 3', ("'published'", "a list")),
        ('base = "rpi4"\n[[published]]\nname = "x"\nvalue = 1\nunit = "ms"', ("'published[0]'", "how")),
        (
            'base = "rpi4"\n[[published]]\nname = "x"\nvalue = 1\nunit = "s"\norigin = "measured"\nhow = "I"',
            ("source",),
        ),
        (
            'base = "rpi4"\n[[published]]\nname = "x"\nvalue = 1\nunit = "ms"\norigin = "guess"',
            ("'guess'", "measured"),
        ),
        (
            'base = "rpi4"\n[[published]]\nname = "x"\nunit = "ms"\nvalue = "fast"',
            ("'published[0].value'", "a number"),
        ),
        ('base = "rpi4"\ntoolchain.qemu = "/bin/rm"', ("/bin/rm", "toolchain.qemu")),
        ('base = "rpi4"\ntoolchain.qemu = "rm"', ("'rm'", "qemu")),
        ('base = "rpi4"\ntoolchain.zig_cpu = "-o/etc/passwd"', ("toolchain.zig_cpu",)),
        ('base = "rpi4"\nname = "../up"', ("../up", "name")),
        ('base = "rpi4"\nefficiency.error = 0.5', ("efficiency.error", "1 or more")),
        ("base = 4", ("'base'", "text")),
        ('base = "host"', ("host", "no fixed board")),
        ('base = "mine.toml"', ("mine.toml", "its own base")),
        ('title = "x"\nkind = "linux"', ("is missing", "'cpu'", "base")),
        ("[cpu]\ncores = 4", ("is missing",)),
        ("not toml at all", ("mine.toml", "not valid TOML")),
        ("a = " + "[" * 5000, ("not valid TOML",)),
    ],
)
def test_one_sentence_for_each_mistake(tmp_path: Path, text: str, needles: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        load_target(_board(tmp_path, text))
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    for needle in needles:
        assert needle in message


def test_a_circle_of_bases(tmp_path: Path) -> None:
    _board(tmp_path, 'base = "two.toml"', "one.toml")
    _board(tmp_path, 'base = "one.toml"', "two.toml")
    with pytest.raises(UsageError, match=r"one -> two -> one"):
        load_target(str(tmp_path / "one.toml"))


def test_a_ladder_of_bases_has_an_end(tmp_path: Path) -> None:
    for step in range(30):
        _board(tmp_path, f'base = "b{step + 1}.toml"', f"b{step}.toml")
    with pytest.raises(UsageError, match="bases deep"):
        load_target(str(tmp_path / "b0.toml"))


def test_deep_tables_end(tmp_path: Path) -> None:
    deep = "a" + ".a" * 5000 + " = 1\n"
    _board(tmp_path, deep, "low.toml")
    with pytest.raises(UsageError, match="nested"):
        load_target(_board(tmp_path, 'base = "low.toml"\n' + deep))


@pytest.mark.parametrize(
    ("name", "near"),
    [("rpi5x", "rpi5"), ("rpi-4", "rpi4"), ("raspi4", "rpi4"), ("jetson", "jetson-nano"), ("RPI4", "")],
)
def test_unknown_names(name: str, near: str) -> None:
    with pytest.raises(TargetError) as caught:
        load_target(name)
    assert near in str(caught.value) and "edgepress targets" in str(caught.value)


@pytest.mark.parametrize("path", ["nowhere.toml", "no/such/folder/x.toml", "a\0b.toml", "n" * 5000 + ".toml"])
def test_paths_that_are_not(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match="cannot read"):
        load_target(path)


def test_files_that_are_no_boards(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(TargetError, match="cannot read"):
        load_target(str(tmp_path / "folder.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not valid TOML"):
        load_target(str(tmp_path / "bytes.toml"))
    (tmp_path / "big.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(UsageError, match="larger than"):
        load_target(str(tmp_path / "big.toml"))


def _point(value: object) -> types.SimpleNamespace:
    def load() -> object:
        if isinstance(value, Exception):
            raise value
        return value

    return types.SimpleNamespace(name="more", value="more:boards", load=load)


def test_boards_of_other_distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _board(tmp_path, 'base = "rpi5"\n', "their-board.toml")
    _board(tmp_path, "broken", "rpi4.toml")  # a built-in name cannot be taken over
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [_point(tmp_path)])
    assert set(target_names()) == WANTED | {"their-board"}
    assert load_target("their-board").cpu.model == "cortex-a76"
    assert load_target("rpi4").title == "Raspberry Pi 4"


def test_a_broken_distribution_breaks_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [_point(ImportError("gone"))])
    assert load_target("rpi4").name == "rpi4"
    with pytest.raises(TargetError, match=r"'more'.*gone"):
        target_names()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PATHS = st.sampled_from(
    [
        "kind",
        "cpu",
        "cpu.cores",
        "cpu.features",
        "cpu.cache",
        "cpu.cache.l1d",
        "toolchain.qemu",
        "runtime",
        "engines",
        "published",
        "power",
        "memory_bytes",
        "efficiency",
        "efficiency.error",
        "name",
        "new",
        "cpu.new",
    ]
)


@settings(max_examples=300, deadline=None)
@given(path=PATHS, value=VALUES)
def test_any_value_anywhere_is_taken_or_refused_in_one_sentence(path: str, value: object) -> None:
    data = encode(load_target("rpi4"))
    *folders, last = path.split(".")
    table = data
    for folder in folders:
        table = table[folder]
    table[last] = value
    try:
        target = checked(decode(Target, data), "t.toml")
    except (UsageError, RecordError) as error:
        assert "\n" not in str(error)
    else:
        assert decode(Target, encode(target)) == target


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_gives_a_board_or_an_error(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UsageError):
        load_target(str(path))


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(TargetError, match="no regular file"):
        load_target(str(tmp_path / "pipe.toml"))
