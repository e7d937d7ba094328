"""How ternary weights lie in memory: two bits each, or five in a byte, in registers of neighbouring outputs.

Weights ``[outputs, inputs]`` are cut into panels of ``lanes`` outputs and runs of inputs, for which each output
has a few bytes: ``[panels, runs, lanes, 4]`` where a lane is one of 32 bits. Byte ``j`` of lane ``n`` holds, in field
``s``, the weight of output ``n`` for input ``(fields · run + s) · 4 + j``: a multiply-add that sums four
neighbouring products takes one field of a register and four neighbouring inputs, spread over all lanes.
What fills the last panel and the last run means zero. Where products are summed whole registers at a time, an
output has 16 bytes of each run in place of 4.
"""

from __future__ import annotations

import numpy as np

from edgepress.graph.ternary_storage import joined

BYTES = 4  # of a lane: inputs whose products are summed at once
FIELDS = 4  # of a byte at two bits a weight
RUN = FIELDS * BYTES  # inputs of a run at two bits a weight
DIGITS = 5  # of a byte in base three
LONG_RUN = DIGITS * BYTES  # inputs of a run at five weights a byte
WORD_FIELD = 16  # bits of a word that one sum takes where code is scalar
WORD_WEIGHTS = 8  # of such a field
POWERS = 3 ** np.arange(DIGITS)


def pack2(weight: np.ndarray, lanes: int, signed: bool = False, each: int = BYTES) -> np.ndarray:
    """Two bits a weight.

    Args:
        weight: ``[outputs, inputs]`` of −1, 0 and 1.
        lanes: outputs of a panel.
        signed: fields of two's complement (3, 0, 1) instead of one more than the weight (0, 1, 2).
        each: bytes of an output in a run.

    Returns:
        uint8 ``[panels, runs, lanes, each]``.
    """
    fields = _fields(weight, lanes, FIELDS, each)
    codes: np.ndarray = (fields & 3 if signed else fields + 1).astype(np.uint8)
    return joined(codes)


def unpack2(packed: np.ndarray, outputs: int, inputs: int, signed: bool = False) -> np.ndarray:
    """What :func:`pack2` took: int8 ``[outputs, inputs]``."""
    fields = (packed[..., None] >> (2 * np.arange(FIELDS, dtype=np.uint8))) & 3
    weight = ((fields ^ 2).astype(np.int8) - 2) if signed else fields.astype(np.int8) - 1
    return _weight(weight, outputs, inputs)


def folded(packed: np.ndarray) -> np.ndarray:
    """Eight-bit panels at two bits: four steps of the sum in the fields of one, of two's complement.

    Args:
        packed: int8 ``[..., steps, panel, depth]`` of −1, 0 and 1, as :func:`packing8.pack` has them.

    Returns:
        uint8 ``[..., runs, panel, depth]``: a byte's field ``s`` is step ``4 · run + s``.
    """
    *before, steps, panel, depth = packed.shape
    runs = -(-steps // FIELDS)
    full = np.zeros((*before, runs * FIELDS, panel, depth), np.uint8)
    full[..., :steps, :, :] = packed.view(np.uint8) & 3
    fields = full.reshape(*before, runs, FIELDS, panel, depth)
    shifts = (2 * np.arange(FIELDS, dtype=np.uint8))[:, None, None]
    made: np.ndarray = np.bitwise_or.reduce(fields << shifts, axis=-3)
    return made


def pack5(weight: np.ndarray, lanes: int) -> np.ndarray:
    """Five weights a byte, 1.6 bits each: ``Σ (weight of field s + 1) · 3^s``, 0 … 242.

    Args:
        weight: ``[outputs, inputs]`` of −1, 0 and 1.
        lanes: of 32 bits, in a register.

    Returns:
        uint8 ``[panels, long runs, lanes, 4]``.
    """
    return ((_fields(weight, lanes, DIGITS).astype(np.int64) + 1) @ POWERS).astype(np.uint8)


def unpack5(packed: np.ndarray, outputs: int, inputs: int) -> np.ndarray:
    """What :func:`pack5` took: int8 ``[outputs, inputs]``."""
    return _weight((packed[..., None] // POWERS % 3).astype(np.int8) - 1, outputs, inputs)


def pack_words(weight: np.ndarray, bits: int) -> np.ndarray:
    """Two bits a weight in words for code without vectors: a word has one input's weights of a panel of outputs.

    Fields of 16 bits stand for neighbouring outputs; each has eight weights plus one, those of later groups of
    outputs further up.

    Args:
        weight: ``[outputs, inputs]`` of −1, 0 and 1.
        bits: of a word, 32 or 64.

    Returns:
        uint32 or uint64 ``[panels, inputs]``.
    """
    outputs, inputs = weight.shape
    fields = bits // WORD_FIELD
    panels = -(-outputs // (fields * WORD_WEIGHTS))
    full = np.zeros((panels * fields * WORD_WEIGHTS, inputs), np.int8)
    full[:outputs] = weight
    codes = (full + 1).astype(np.uint64).reshape(panels, WORD_WEIGHTS, fields, inputs)
    shifts = 2 * np.arange(WORD_WEIGHTS)[:, None] + WORD_FIELD * np.arange(fields)
    words = np.bitwise_or.reduce(codes << shifts[..., None].astype(np.uint64), axis=(1, 2))
    return np.ascontiguousarray(words.astype(f"uint{bits}"))


def four_of_five() -> np.ndarray:
    """For each byte of five weights, the first four as :func:`pack2` has them: uint8 ``[256]``.

    The fifth, plus one, is how many of 81 and 162 the byte reaches.
    """
    digits = np.arange(256)[:, None] // POWERS[:FIELDS] % 3
    return np.asarray((digits << (2 * np.arange(FIELDS))).sum(1), np.uint8)


def _fields(weight: np.ndarray, lanes: int, fields: int, each: int = BYTES) -> np.ndarray:
    """``[outputs, inputs]`` as ``[panels, runs, lanes, each, fields]``, zeros after the last."""
    outputs, inputs = weight.shape
    panels, runs = -(-outputs // lanes), -(-inputs // (fields * each))
    full = np.zeros((panels * lanes, runs * fields * each), np.int8)
    full[:outputs, :inputs] = weight
    return full.reshape(panels, lanes, runs, fields, each).transpose(0, 2, 1, 4, 3)


def _weight(fields: np.ndarray, outputs: int, inputs: int) -> np.ndarray:
    panels, runs, lanes, each, count = fields.shape
    full = fields.transpose(0, 2, 1, 4, 3).reshape(panels * lanes, runs * count * each)
    return np.ascontiguousarray(full[:outputs, :inputs])
