"""The golden streams as a case for programs in C."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepress.coding.frozen import write_codings
from edgepress.targets.compilers.link import CODER, CODER_HEADERS
from tests.coding import golden
from tests.native.tiny_model import RUNTIME

BOARD = Path(__file__).parent / "board"


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trial and its case as C."""
    folder = tmp_path_factory.mktemp("case")

    def array(kind: str, name: str, numbers: list[int]) -> str:
        return f"static const {kind} {name}[] = {{{','.join(map(str, numbers))}}};\n"

    text = "#include <stdint.h>\n" + array("uint8_t", "ep_trial_models", list(write_codings(golden.models())))
    rows = []
    for number, (rate, shape, body) in enumerate(golden.bodies()):
        text += array("uint8_t", f"body{number}", list(body))
        text += array("int16_t", f"values{number}", golden.values(*shape).ravel().tolist())
        rows.append(f"{{{rate}, {shape[0]}, {shape[1]}, {len(body)}, body{number}, values{number}}}")
    text += "typedef struct ep_trial_stream { uint32_t rate, rows, columns, length; const uint8_t *body; "
    text += "const int16_t *values; } ep_trial_stream;\n"
    text += f"#define EP_TRIAL_STREAMS {len(rows)}\n#define EP_TRIAL_MOST {5 * 16 * 37}\n"
    text += f"static const ep_trial_stream ep_trial_streams[] = {{{', '.join(rows)}}};\n"
    (folder / "case.h").write_text(text)
    for path in BOARD.glob("*.c"):
        (folder / path.name).write_bytes(path.read_bytes())
    for name in (*CODER, *CODER_HEADERS, "ep_mem.c", "ep_os.h"):
        (folder / name).write_bytes((RUNTIME / name).read_bytes())
    return folder
