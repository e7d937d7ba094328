"""The wheel brings the entropy coder compiled for common hosts, where the compiler is there to make it.

All else about the package stands in pyproject.toml.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithCoder(build_py):
    """Python files and data, then the libraries."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # a checkout compiles the one that it needs, at first use
        spec = importlib.util.spec_from_file_location("coder_build", ROOT / "runtimes" / "coder_build.py")
        assert spec is not None and spec.loader is not None
        coder = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(coder)
        if not coder.can_compile():
            print("ziglang is not installed: the wheel has no compiled coder, and codes streams slowly")
            return
        out = Path(self.build_lib) / "edgepress" / "runtimes" / "prebuilt"
        compile_one = partial(coder.compile_coder, sources=ROOT / "runtimes" / "c", out=out)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(compile_one, coder.PLATFORMS))


setup(cmdclass={"build_py": BuildWithCoder})
