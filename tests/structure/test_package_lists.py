"""pyproject.toml against the folders: packages, data, links, entry points, extras."""

from __future__ import annotations

import importlib
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.structure.house import LINKED, ROOT, imports, modules, packages

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Import name to distribution, where they differ.
DISTRIBUTION = {"PIL": "pillow", "elftools": "pyelftools", "skimage": "scikit-image", "tvm": "apache-tvm",
                "tvm_ffi": "apache-tvm-ffi"}  # fmt: skip


def test_the_list_of_packages_is_the_folders_that_hold_one() -> None:
    assert PROJECT["tool"]["setuptools"]["packages"] == list(packages())


def test_every_file_of_a_package_is_code_or_listed_data() -> None:
    listed = PROJECT["tool"]["setuptools"]["package-data"]
    found, homes = set(), packages()
    for name, patterns in listed.items():
        for pattern in patterns:
            files = set(homes[name].glob(pattern))
            assert files, f"package-data of {name} lists {pattern}, which is nothing"
            found |= files
    loose = [
        str(file.relative_to(ROOT))
        for folder in homes.values()
        for file in folder.rglob("*")
        if file.is_file()
        and file.suffix not in (".py", ".pyc")
        and file not in found
        and not _behind_a_link(file)
    ]
    assert not sorted(set(loose)), "these would be missing from the wheel; list them in package-data"


def _behind_a_link(file: Path) -> bool:
    return file.resolve() != file


@pytest.mark.parametrize("name", LINKED)
def test_the_links_are_relative_and_lead_to_the_folders(name: str) -> None:
    link = ROOT / "edgepress" / name
    if not link.is_symlink():
        pytest.skip("platform: a checkout or a source distribution without links")
    assert os.readlink(link) == f"../{name}"
    assert (link / "__init__.py").is_file()
    assert PROJECT["tool"]["setuptools"]["package-dir"][f"edgepress.{name}"] == name


def test_every_entry_point_leads_somewhere() -> None:
    groups = {**PROJECT["project"]["entry-points"], "scripts": PROJECT["project"]["scripts"]}
    for group, points in groups.items():
        for name, value in points.items():
            module, _, attribute = value.partition(":")
            assert hasattr(importlib.import_module(module), attribute), f"{group}: {name} = {value}"


def test_what_the_code_imports_is_what_the_project_asks_for() -> None:
    """No dependency is missing from the lists, and none on them is unused."""
    used = {
        one.module.split(".")[0]
        for name, file in modules().items()
        for one in imports(name, file, {})
        if one.module and one.module.split(".")[0] not in (*sys.stdlib_module_names, "edgepress")
    }
    wanted = {_plain(DISTRIBUTION.get(name, name)) for name in used}
    asked = {_plain(line) for line in PROJECT["project"]["dependencies"]}
    extras = PROJECT["project"]["optional-dependencies"]
    asked |= {_plain(line) for extra in ("build", "train", "profile", "serve") for line in extras[extra]}
    not_imported = {
        "onnxscript",  # torch.onnx imports it
        "ziglang",  # run as a program
        "scikit-image",  # its photographs are read as files
        "apache-tvm-ffi",  # pinned for apache-tvm's sake
    }
    assert wanted - asked == set()
    assert asked - wanted - not_imported == set()


def _plain(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def test_every_requirement_is_in_the_constraints() -> None:
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_plain(line) for line in lines if line and not line.startswith("#")}
    assert all("==" in line for line in lines if line and not line.startswith("#"))
    project = PROJECT["project"]
    asked = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]
    assert {_plain(line) for line in asked} <= pinned
