"""What the device's part of a split network sends, as the C source that defines ``ep_get_split`` of ``ep_split.h``."""

from __future__ import annotations

from collections.abc import Sequence

from edgepress.coding.split import Split, stream_header

NAME = "split.c"
_A_LINE = 24  # bytes


def sender_source(split: Split, steps: bytes, models: Sequence[bytes]) -> str:
    """The source: the same text for the same network.

    Args:
        split: the network.
        steps: the bundle's member ``steps``.
        models: the members ``model.0`` and so on, one a rate.

    Raises:
        ValueError: the tables are not those of its rates.
    """
    if len(steps) != 4 * len(split.rates) * split.latents or len(models) != len(split.rates):
        raise ValueError(f"{len(steps)} bytes of steps and {len(models)} models for {len(split.rates)} rates")
    named = [("steps", steps), *((f"model{rate}", model) for rate, model in enumerate(models))]
    extents = (split.latents, split.rows, split.columns, stream_header(split, 0).step)
    identity = ", ".join(f"0x{byte:02x}" for byte in split.identity_bytes)
    return "\n".join(
        [
            f"/* What the device's half of {_printable(split.teacher)} sends: see ep_split.h. */",
            '#include "ep_split.h"',
            "",
            *(_array(name, data) for name, data in named),
            "static const ep_split_table models[] = {",
            *(f"    {{{name}, sizeof {name}}}," for name, _ in named[1:]),
            "};",
            "",
            "static const ep_split sent = {",
            f"    EP_SPLIT_ABI, {split.highest}u, {len(models)}u,",
            f"    {{{{{identity}}},",
            f"     EP_STREAM_ARRAY, 0u, {', '.join(f'{size}u' for size in extents)}, 0u,",
            f"     {len(split.shape)}u, {{{', '.join(f'{size}u' for size in split.shape)}}}}},",
            "    {steps, sizeof steps}, models,",
            "};",
            "",
            "const ep_split *ep_get_split(void) { return &sent; }",
            "",
        ]
    )


def _array(name: str, data: bytes) -> str:
    lines = (data[at : at + _A_LINE] for at in range(0, len(data), _A_LINE))
    body = ",\n".join(f"    {','.join(map(str, line))}" for line in lines)
    return f"static const uint8_t {name}[] = {{\n{body},\n}};\n"


def _printable(text: str) -> str:
    """Without what could end a comment or a line."""
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in " _.:-") else "_" for letter in text
    )
