"""What ``edgepress inspect`` says of a codec."""

from __future__ import annotations

from edgepress.cli.table import columns
from edgepress.coding.description import Codec


def codec_page(codec: Codec) -> str:
    """The codec's form, its costs and its rates, as text."""
    a_tile = " × ".join
    unit = "pixel" if codec.axes == 2 else "sample" if codec.axes == 1 else "voxel"
    facts = [
        [
            "kind",
            f"{codec.kind}, for {codec.content}s of {codec.channels} channel{'s' * (codec.channels > 1)}",
        ],
        ["identity", codec.identity],
        ["latents", f"{codec.latents} for each {a_tile([str(codec.factor)] * codec.axes)} samples"],
    ]
    parts = (
        ("encoder", codec.encoder_macs, codec.encoder_tile, codec.encoder_halo, "samples"),
        ("decoder", codec.decoder_macs, codec.decoder_tile, codec.decoder_halo, "latents"),
    )
    for part, macs, tile, halo, of in parts:
        size = a_tile(map(str, tile))
        told = (
            f"{macs:,.1f} multiply-adds a {unit}; tiles of {size} samples, halo {halo[0]} and {halo[1]} {of}"
        )
        facts.append([part, told])
    facts.append(["sizes", "its graphs take any size" if codec.any_size else "its graphs take one tile"])
    rows = [["rate", "step", "integers to", "bits a " + unit, "PSNR"]]
    for number, rate in enumerate(codec.rates):
        bits = "-" if rate.bits is None else f"{rate.bits:.3f}"
        psnr = "-" if rate.psnr is None else f"{rate.psnr:.2f} dB"
        rows.append([str(number), f"{rate.step:g}", f"±{rate.highest}", bits, psnr])
    table = columns(rows, right=(0, 1, 2, 3, 4), indent="  ")
    return "\n".join(["codec", columns(facts, indent="  "), table])
