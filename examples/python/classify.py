"""Load a bundle and name what is on some photographs.

usage: python classify.py BUNDLE.edge PHOTO...
"""

from __future__ import annotations

import sys

import edgepress


def main(bundle: str, photographs: list[str]) -> None:
    """Print the most probable class of each photograph."""
    with edgepress.load(bundle) as session:
        for photograph in photographs:
            best = session.run(photograph).labels[0]
            print(f"{photograph}: {best.name} ({best.probability:.1%})")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(sys.argv[1], sys.argv[2:])
    except edgepress.EdgepressError as error:
        sys.exit(f"{error}")
