"""``python -m edgepress`` is the command ``edgepress``."""

from __future__ import annotations

from edgepress.cli.main import main

if __name__ == "__main__":
    main()
