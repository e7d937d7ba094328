"""pytest's root: loads what every test may use. Fixtures are in tests/conftest.py."""

from __future__ import annotations

pytest_plugins = ["tests.required_tools"]
