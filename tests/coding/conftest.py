"""The golden streams as a case for programs in C."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepress.coding.frozen import write_codings
from edgepress.targets.compilers.link import CODER, CODER_HEADERS, SENDER, SENDER_HEADERS
from edgepress.targets.compilers.sender import NAME, sender_source
from tests.coding import golden, split_golden
from tests.native.tiny_model import RUNTIME

BOARD = Path(__file__).parent / "board"


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trials of golden streams and of the golden split network as C."""
    folder = tmp_path_factory.mktemp("case")
    text = "#include <stdint.h>\n" + _array(
        "uint8_t", "ep_trial_models", list(write_codings(golden.models()))
    )
    rows = []
    for number, (rate, shape, body) in enumerate(golden.bodies()):
        text += _array("uint8_t", f"body{number}", list(body))
        text += _array("int16_t", f"values{number}", golden.values(*shape).ravel().tolist())
        rows.append(f"{{{rate}, {shape[0]}, {shape[1]}, {len(body)}, body{number}, values{number}}}")
    text += "typedef struct ep_trial_stream { uint32_t rate, rows, columns, length; const uint8_t *body; "
    text += "const int16_t *values; } ep_trial_stream;\n"
    text += f"#define EP_TRIAL_STREAMS {len(rows)}\n#define EP_TRIAL_MOST {5 * 16 * 37}\n"
    text += f"static const ep_trial_stream ep_trial_streams[] = {{{', '.join(rows)}}};\n"
    (folder / "case.h").write_text(text)
    _write_split(folder)
    for path in BOARD.glob("*.[ch]"):
        (folder / path.name).write_bytes(path.read_bytes())
    for name in (*CODER, *CODER_HEADERS, *SENDER, *SENDER_HEADERS, "ep_mem.c", "ep_os.h"):
        (folder / name).write_bytes((RUNTIME / name).read_bytes())
    return folder


def _write_split(folder: Path) -> None:
    """The golden split network: its tables and its streams."""
    extents = zip(("LATENTS", "ROWS", "COLUMNS"), (split_golden.LATENTS, *split_golden.MAP), strict=True)
    text = "#include <stdint.h>\n" + "".join(f"#define EP_TRIAL_{name} {size}u\n" for name, size in extents)
    text += _array("uint32_t", "ep_trial_special", list(split_golden.SPECIAL))
    streams = split_golden.streams()
    for rate, stream in enumerate(streams):
        text += _array("uint8_t", f"stream{rate}", list(stream))
    names = ", ".join(f"stream{rate}" for rate in range(len(streams)))
    text += f"static const uint8_t *const ep_trial_streams[] = {{{names}}};\n"
    text += _array("uint32_t", "ep_trial_lengths", [len(stream) for stream in streams])
    (folder / "split_case.h").write_text(text)
    source = sender_source(split_golden.SPLIT, split_golden.steps(), split_golden.models())
    (folder / NAME).write_text(source)


def _array(kind: str, name: str, numbers: list[int]) -> str:
    return f"static const {kind} {name}[] = {{{','.join(map(str, numbers))}}};\n"
