"""The version of edgepress; pyproject.toml reads it from here."""

__version__ = "0.1.0"
