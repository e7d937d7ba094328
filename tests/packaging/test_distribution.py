"""The wheel built from the sdist: what it holds, and that it works on what a device gets."""

from __future__ import annotations

import ast
import json
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from edgepress.runtimes.coder_build import PLATFORMS, file_name
from edgepress.version import __version__
from tests.packaging.installed import ROOT, Built, Environment, build, install
from tests.structure.house import modules, packages


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("distributions"))


@pytest.fixture(scope="module")
def device(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return install(built.wheel, tmp_path_factory.mktemp("device"))


def _expected_in_the_wheel() -> set[str]:
    """Every module, and every file that package-data lists."""
    files = {
        "/".join((*name.split("."), "__init__.py"))
        if file.stem == "__init__"
        else "/".join((*name.split(".")[:-1], file.name))
        for name, file in modules().items()
    }
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    homes = packages()
    for name, patterns in settings["package-data"].items():
        for pattern in patterns:
            files |= {
                "/".join((*name.split("."), *found.relative_to(homes[name]).parts))
                for found in homes[name].glob(pattern)
            }
    return files | {f"edgepress/runtimes/prebuilt/{file_name(name)}" for name in PLATFORMS}


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == _expected_in_the_wheel()


def test_the_sdist_holds_what_is_needed_to_build_and_to_test(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    assert {"LICENSE", "README.md", "Makefile", "requirements/constraints.txt", "runtimes/c/ep.h"} <= names
    assert "tests/packaging/test_distribution.py" in names
    assert all(member.isfile() or member.isdir() for member in members)
    assert not [name for name in names if name.endswith((".edge", ".pyc", ".so", ".o"))]


def test_the_wheel_says_who_it_is(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        text = archive.read(f"edgepress-{__version__}.dist-info/METADATA").decode()
    assert f"\nVersion: {__version__}\n" in text
    assert "\nLicense-Expression: Apache-2.0\n" in text
    base = [
        line for line in text.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line
    ]
    assert sorted(line.split()[1].split("<")[0].split(">")[0] for line in base) == [
        "click",
        "numpy",
        "onnxruntime",
        "pillow",
    ]


def test_the_command_works_on_a_device(device: Environment) -> None:
    assert device.run("edgepress", "--version").stdout == f"edgepress {__version__}\n"
    assert device.run("python", "-m", "edgepress", "--version").stdout == f"edgepress {__version__}\n"
    listed = device.run("edgepress", "targets").stdout
    for board in sorted((ROOT / "targets" / "boards").glob("*.toml")):
        assert board.stem in listed
    assert json.loads(device.run("edgepress", "targets", "rpi4", "--json").stdout)["name"] == "rpi4"


def test_its_files_come_from_the_wheel(device: Environment) -> None:
    code = "import edgepress.targets, edgepress.runtimes, edgepress.zoo as z; from pathlib import Path\n"
    code += "home = Path(edgepress.__file__).parent; n = z.entry(z.DEFAULT)\n"
    code += "print([str(home), len(list((home / 'targets/boards').glob('*.toml'))),"
    code += " (home / 'runtimes/c/ep.h').is_file(), len(n.labels.read_text().splitlines())])"
    home, boards, header, labels = ast.literal_eval(device.run("python", "-c", code).stdout)
    assert Path(home).is_relative_to(device.folder)
    assert boards == len(list((ROOT / "targets" / "boards").glob("*.toml")))
    assert header
    assert labels == 1000


def test_streams_are_coded_by_the_library_that_comes_with_it(device: Environment) -> None:
    code = "import numpy as np; from edgepress.coding.table import fit_table\n"
    code += "from edgepress.runtimes.coders import coder_library, coder_opener\n"
    code += "v = np.arange(-30, 30, dtype=np.int16).reshape(1, 6, 10); c = coder_opener((fit_table(v),))()\n"
    code += "print(coder_library().parent.name, (c.decode(c.encode(v), 6, 10) == v).all(), type(c).__name__)"
    assert device.run("python", "-c", code).stdout.split() == ["prebuilt", "True", "NativeCoder"]


def test_a_command_that_needs_an_extra_says_which(device: Environment) -> None:
    said = device.run("edgepress", "build", "--target", "rpi4", status=10).stderr
    assert "pip install 'edgepress[build]'" in said
    assert "Traceback" not in said


def test_doctor_works_with_nothing_but_the_base(device: Environment) -> None:
    assert "torch" in device.run("edgepress", "doctor").stdout
