"""Write a photograph that comes with scikit-image (a cat, by Stefan van der Walt, CC0) to a file.

usage: python photograph.py OUTPUT.png
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import skimage


def main(output: str) -> None:
    """Copy the picture as it lies in the package: no decoding, no network."""
    shutil.copyfile(Path(skimage.__file__).parent / "data" / "chelsea.png", output)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
