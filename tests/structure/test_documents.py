"""README, docs and changelog against the code: commands, options, exit codes, keys, links, samples."""

from __future__ import annotations

import dataclasses
import importlib
import re
import shlex
import subprocess
import tomllib
import xml.etree.ElementTree as xml
from pathlib import Path

import click
import pytest

from edgepress import errors
from edgepress.bundle import Manifest
from edgepress.cli.lazy import LazyGroup
from edgepress.cli.main import COMMANDS
from edgepress.methods.int8 import Int8Config
from edgepress.methods.ternary import TernaryConfig
from edgepress.recipe import GateLimits, InputRecipe, Recipe, read_recipe
from edgepress.targets import load_target
from edgepress.version import __version__
from tests.required_tools import tool
from tests.structure.house import ROOT

README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Every edgepress command line that the documents show, in blocks and inline."""
    found = []
    for document in DOCUMENTS:
        for block in blocks(document, "sh"):
            found += [line.partition(" #")[0] for line in block.replace("\\\n", " ").splitlines()]
        found += re.findall(r"`(edgepress [^`]+)`", document.read_text("utf-8"))
    lines = [re.sub(r"^\S*/bin/", "", line.strip()) for line in found]
    return sorted({re.sub(r"[\[\]]", "", line) for line in lines if line.startswith("edgepress ")})


def load(name: str) -> click.Command:
    """A command of the command line."""
    module, _, attribute = COMMANDS[name].home.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


@pytest.mark.parametrize("line", commands())
def test_a_command_that_is_shown_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[0] in ("--version", "--help"):
        return
    command = load(words[0])
    if isinstance(command, LazyGroup):
        context = click.Context(command)
        name = words[1] if len(words) > 1 and words[1] in command.entries else command.default
        if not name:
            assert words[1:] in ([], ["-h"], ["--help"]), f"{line}: {command.name} has no such command"
            return
        inner = command.get_command(context, name)
        assert inner is not None
        command = inner
    elif isinstance(command, click.Group) and len(words) > 1 and words[1] in command.commands:
        command = command.commands[words[1]]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    asked = {word for word in words if re.match(r"--?[a-z]", word)} - {"--debug"}
    assert asked <= known, f"{line}: {asked - known}"


def test_the_readme_shows_every_command() -> None:
    table = re.findall(r"^\| `edgepress (\w+)", README.read_text("utf-8"), re.MULTILINE)
    assert sorted(table) == sorted(COMMANDS)


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", README.read_text("utf-8"), re.MULTILINE)
    shown = {name: int(code) for code, names in rows for name in re.findall(r"`(\w+)`", names)}
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.EdgepressError)
    }
    assert shown == {name: kind.exit_code for name, kind in kinds.items()}
    assert {int(code) for code, _ in rows} - set(shown.values()) == {0, 130}


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(document: Path) -> None:
    text = document.read_text("utf-8")
    headings = {
        re.sub(r"[^\w\- ]", "", line).strip().lower().replace(" ", "-")
        for line in text.splitlines()
        if line[:1] == "#"
    }
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in headings, link
        elif not link.startswith("https://"):
            assert (document.parent / link).exists(), link


def test_the_picture_is_whole_and_says_what_it_shows() -> None:
    root = xml.parse(ROOT / "docs" / "flow.svg").getroot()
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert root.find("{http://www.w3.org/2000/svg}desc") is not None


def first_cells(document: Path, heading: str) -> set[str]:
    """The names in the first column of the table below a heading."""
    section = document.read_text("utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("Keys", Recipe),
        ("`[gate]`", GateLimits),
        ("`[inputs.NAME]`", InputRecipe),
        ("`[options]` of `int8`", Int8Config),
        ("`[options]` of `ternary`", TernaryConfig),
    ],
)
def test_the_tables_of_the_recipe_are_its_keys(heading: str, kind: type) -> None:
    fields = {field.name for field in dataclasses.fields(kind)}
    shown = first_cells(ROOT / "docs" / "recipe.md", heading)
    assert fields <= shown
    assert shown - fields <= {"image", "audio", "text", "array"}  # the kinds of ``prepare``


def test_the_table_of_the_manifest_is_its_keys() -> None:
    assert first_cells(ROOT / "docs" / "bundle.md", "The manifest") == {
        field.name for field in dataclasses.fields(Manifest)
    }


def test_the_recipe_and_the_board_that_are_shown_can_be_read(tmp_path: Path) -> None:
    (recipe,) = blocks(ROOT / "docs" / "recipe.md", "toml")
    (tmp_path / "recipe.toml").write_text(recipe)
    assert read_recipe(tmp_path / "recipe.toml").inputs["image"].shape == (1, 3, 96, 96)
    board, entry_point = blocks(ROOT / "docs" / "targets.md", "toml")
    (tmp_path / "my-board.toml").write_text(board)
    assert load_target(str(tmp_path / "my-board.toml")).cpu.clock_hz == 1.5e9
    assert tomllib.loads(entry_point)


def test_the_c_programs_that_are_shown_compile(tmp_path: Path) -> None:
    program, pool = blocks(ROOT / "docs" / "embedding.md", "c")
    before, after = program.split("  ep_status status = ep_run", 1)
    tiny, core = ROOT / "tests" / "native" / "tiny", ROOT / "runtimes" / "c"
    # As it stands, and with the threads of the second sample run before it.
    threaded = (
        before.replace('#include "ep.h"', '#include "ep_threads.h"')
        + pool
        + "  ep_status status = ep_run"
        + after
    )
    units = [*tiny.glob("*.c"), *(core / name for name in ("ep_run.c", "ep_pool.c", "ep_threads.c"))]
    for name, text in (("plain", program), ("threaded", threaded)):
        (tmp_path / f"{name}.c").write_text(text)
        command = [
            tool("cc"),
            "-std=gnu11",
            "-Wall",
            "-Werror",
            f"-I{core}",
            f"-I{tiny}",
            str(tmp_path / f"{name}.c"),
        ]
        command += [*map(str, units), "-lm", "-lpthread", "-o", str(tmp_path / name)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d{2}-\d{2}))?$", text, re.MULTILINE)
    assert len(versions) == len(re.findall(r"^## ", text, re.MULTILINE))
    assert versions[0] == ("Unreleased", "")
    numbers = [tuple(map(int, version.split("."))) for version, _ in versions[1:]]
    assert numbers == sorted(numbers, reverse=True)
    assert all(date for _, date in versions[1:])
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= {
        "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security",
    }  # fmt: skip
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
