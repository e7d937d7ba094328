"""The floors: a module imports only from its own floor or from those below."""

from __future__ import annotations

import pytest

from tests.structure.house import imports, modules

# From the ground up. The longest prefix that fits a module's name decides its floor.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "version", "paths", "records", "replacing"),
    (
        "tensor",
        "measurement",
        "cost",
        "progress",
        "inputs",
        "outputs",
        "bundle",
        "coding",
        "metrics",
        "targets",
    ),
    (
        "source",
        "codec_source",
        "split_source",
        "user_code",
        "fingerprint",
        "samples",
        "recipe",
        "zoo",
        "graph",
        "nn",
        "distill",
        "runtimes",
    ),
    ("training", "methods", "exporters", "targets.compilers", "hardware"),
    ("build", "report", "evaluate", "cutting", "codecs"),
    ("cli", "__main__"),
)

# (module, imported module): why this one may reach up. Keep it small.
ALLOWED: dict[tuple[str, str], str] = {
    ("edgepress.hardware.child", "edgepress"): "asks only where the package lies, for a child's path",
}

FLOOR = {f"edgepress.{prefix}": floor for floor, names in enumerate(FLOORS) for prefix in names}
MODULES = modules()


def floor_of(module: str) -> int | None:
    """The floor of a module of edgepress; None for the package itself, which only forwards names."""
    parts = module.split(".")
    for length in range(len(parts), 1, -1):
        found = FLOOR.get(".".join(parts[:length]))
        if found is not None:
            return found
    return None


@pytest.mark.parametrize("name", [name for name in MODULES if name != "edgepress"])
def test_a_module_imports_only_from_its_own_floor_or_below(name: str) -> None:
    own = floor_of(name)
    assert own is not None, f"{name} has no floor; add it to FLOORS, where the design puts it"
    too_high = [
        f"line {one.line}: {one.module} (floor {floor_of(one.module)})"
        for one in imports(name, MODULES[name], MODULES)
        if one.module.startswith("edgepress.")
        and (floor_of(one.module) or 0) > own
        and (name, one.module) not in ALLOWED
    ]
    assert not too_high, f"{name} is on floor {own} and reaches up: {'; '.join(too_high)}"


def test_nothing_below_the_top_imports_the_bare_package() -> None:
    """``import edgepress`` inside the package would hide which floor is reached for."""
    guilty = [
        name
        for name, file in MODULES.items()
        if name != "edgepress" and floor_of(name) != len(FLOORS) - 1
        for one in imports(name, file, MODULES)
        if one.module == "edgepress" and (name, "edgepress") not in ALLOWED
    ]
    assert not guilty


def test_the_package_itself_imports_only_the_ground_floor() -> None:
    found = {one.module for one in imports("edgepress", MODULES["edgepress"], MODULES)}
    assert all(floor_of(module) == 0 for module in found if module.startswith("edgepress."))


def test_every_exception_is_still_needed() -> None:
    for name, imported in ALLOWED:
        assert imported in {one.module for one in imports(name, MODULES[name], MODULES)}


def test_a_reach_upwards_would_be_seen() -> None:
    assert floor_of("edgepress.targets.load") == 1
    assert floor_of("edgepress.targets.compilers.tvm.importer") == 3
    assert floor_of("edgepress.targets.describe") == 1
