"""``edgepress encode``: files in, streams out."""

from __future__ import annotations

import math
from typing import Any

import click

from edgepress.cli.codec_choice import codec_bundle, codec_options, codec_session
from edgepress.cli.each_file import STREAM, Outcome, Places, Share, each_file, made_file, source_of, watched
from edgepress.cli.table import printable, size
from edgepress.coding.stream import read_header
from edgepress.errors import UsageError

SUFFIX = ".epc"


class RateParameter(click.ParamType[int | float]):
    """A rate: a whole number is an index, one with a point is bits for each pixel."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """See the class."""
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
        self.fail(f"{value!r} is no rate; give an index, or bits for each pixel such as 0.5", param, ctx)


@click.command(short_help="Press pictures, recordings and arrays by a codec.")
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o", "--output", type=click.Path(),
    help="The stream to write, or a folder for those of several files; beside each file by default.",
)  # fmt: skip
@click.option(
    "--codec", required=True, metavar="BUNDLE|NAME", help="A codec's bundle, or the name of one of the zoo."
)
@click.option(
    "--rate", type=RateParameter(), metavar="BITS|INDEX",
    help="Bits for each pixel such as 0.5, to the nearest rate; or, without a point, a rate's index.",
)  # fmt: skip
@click.option(
    "--background", default="", metavar="COLOUR", help="What transparent pictures are laid on, such as white."
)
@codec_options
@click.pass_context
def command(
    ctx: click.Context, files: tuple[str, ...], output: str | None, codec: str, rate: int | float | None,
    background: str, force: bool, engine: str | None, trust: bool, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Press FILES (pictures, 16-bit WAV recordings, .npy arrays) into streams, FILE.epc.

    A file that cannot be used is reported, the others are still pressed, and the exit code is that of the last error.
    "-" is standard input, and as -o standard output.
    """
    _check_colour(background)
    places = Places(files, output, as_json)
    with codec_session(codec_bundle(codec, as_json), engine, trust, threads) as session:

        def work(number: int, file: str, share: Share) -> Outcome:
            place = places.at(number, SUFFIX)
            with (
                session.samples(source_of(file), background) as samples,
                made_file(place, file, force) as stream,
            ):
                if samples.note:
                    click.echo(f"edgepress: note: {printable(samples.note)}", err=True)
                pieces = session.pieces(samples, rate)
                head = next(pieces)
                header = read_header(head)
                stream.write(head)
                for piece in watched(pieces, share, header.chunks):
                    stream.write(piece)
                length = stream.tell()
            bits = 8 * length / math.prod(samples.extents)
            data = {
                "stream": str(place), "bytes": length, "kind": header.kind, "shape": list(header.shape),
                "rate": header.rate, "bits": bits,
            }  # fmt: skip
            text = f"{printable(str(place))}  {size(length)}, {bits:.3f} bits a {_UNITS[header.kind]}"
            return Outcome(data, text if str(place) != STREAM else "")

        report = {"codec": session.name, "identity": session.codec.identity, "engine": session.engine_name}
        ctx.exit(each_file("encoding", files, work, report if as_json else None))


_UNITS = {"picture": "pixel", "recording": "sample", "array": "position"}


def _check_colour(name: str) -> None:
    if name:
        from PIL import ImageColor

        try:
            ImageColor.getrgb(name)
        except ValueError:
            raise UsageError(
                f"--background {name!r} is no colour; give one such as white or #80a0c0"
            ) from None
