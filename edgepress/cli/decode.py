"""``edgepress decode``: streams in, files out."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import click

from edgepress.cli.codec_choice import codec_bundle, codec_options, codec_session
from edgepress.cli.each_file import STREAM, Outcome, Places, Share, each_file, made_file, source_of, watched
from edgepress.cli.table import printable, shape
from edgepress.codecs import codec_of_stream
from edgepress.coding.stream import MOST_HEADER, read_header
from edgepress.errors import DataError, UsageError
from edgepress.runtimes.codec_decoding import stream_bytes
from edgepress.runtimes.codec_output import suffix_for, write_decoded
from edgepress.runtimes.codec_session import CodecSession


@click.command(short_help="Give back what edgepress encode pressed.")
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o", "--output", type=click.Path(),
    help="The file to write (.png, .jpg, .webp, .wav, .npy …), or a folder for those of several streams.",
)  # fmt: skip
@click.option(
    "--codec", metavar="BUNDLE|NAME",
    help="The codec that made the streams; may be left out for one of the zoo that was used here before.",
)  # fmt: skip
@codec_options
@click.pass_context
def command(
    ctx: click.Context, files: tuple[str, ...], output: str | None, codec: str | None, force: bool,
    engine: str | None, trust: bool, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Decode streams, FILES: pictures to .png, recordings to .wav, arrays to .npy, where -o names no other ending.

    Of a damaged stream, what is left is decoded, what is lost is said, and the exit code is 4. A stream that cannot be
    decoded at all is reported, and the others are still decoded. "-" is standard input, and as -o standard output.
    """
    places = Places(files, output, as_json)
    sessions: dict[Path, CodecSession] = {}
    with contextlib.ExitStack() as stack:
        chosen = codec_bundle(codec, as_json) if codec else None

        def session_for(data: bytes) -> CodecSession:
            path = chosen or _known(data)
            if path not in sessions:
                sessions[path] = stack.enter_context(codec_session(path, engine, trust, threads))
            return sessions[path]

        if chosen is not None:
            session_for(b"")  # an unusable bundle is one error, not one a file

        def work(number: int, file: str, share: Share) -> Outcome:
            with stream_bytes(source_of(file)) as data:
                session = session_for(data[:MOST_HEADER])
                decoding = session.decoding(data)
                ending = suffix_for(decoding)
                place = places.at(number, ending)
                decoding = dataclasses.replace(
                    decoding, pieces=watched(decoding.pieces, share, decoding.count)
                )
                with made_file(place, file, force) as made:
                    write_decoded(decoding, made, ending if str(place) == STREAM else place.suffix)
            header, damage = decoding.header, decoding.damage()
            data_ = {
                "output": str(place), "kind": header.kind, "shape": list(header.shape), "rate": header.rate,
                "codec": session.name, "lost": [list(gap) for gap in decoding.lost],
            }  # fmt: skip
            text = (
                f"{printable(str(place))}  {header.kind} {shape(header.shape)}"
                if str(place) != STREAM
                else ""
            )
            if damage:
                return Outcome(data_, text, DataError(f"{damage}; {place} holds the others"))
            return Outcome(data_, text)

        code = each_file("decoding", files, work, {} if as_json else None)
    ctx.exit(code)


def _known(head: bytes) -> Path:
    """The bundle of the codec that a stream names.

    Raises:
        DataError: it is no stream.
        UsageError: the codec is none that this machine knows.
    """
    identity = read_header(head).identity
    path = codec_of_stream(identity)
    if path is None:
        raise UsageError(
            f"the stream was made by the codec {identity.hex()}, which this machine does not know; name its bundle, or "
            "a codec of the zoo, with --codec"
        )
    return path
