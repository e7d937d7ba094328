"""``edgepress serve``: a bundle answered over HTTP."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from edgepress.cli.number import a_number

_MIB = 1 << 20


@click.command(short_help="Answer for a bundle over HTTP.")
@click.argument("bundle", type=click.Path())
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8080",
    show_default=True,
    help="Where; port 0 takes a free one. Other machines reach a host that is not of 127.0.0.0/8 or ::1.",
)
@click.option("--part", help="Which part of a bundle that is not split; needed only where there are several.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="The token that each request must carry; EDGEPRESS_TOKEN by default.",
)
@click.option("--open", "is_open", is_flag=True, help="Listen to other machines although there is no token.")
@click.option("--certificate", type=click.Path(path_type=Path), help="PEM file with the chain: turns TLS on.")
@click.option("--key", type=click.Path(path_type=Path), help="PEM file with the certificate's key.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help="Threads that answer, each with a session of its own; one a processor by default.",
)
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Of each session.")
@click.option("--engine", help="aot, ort or portable; the bundle's own choice by default.")
@click.option("--trust", is_flag=True, help="Run machine code that was not built on this machine.")
@click.option(
    "--queue",
    type=click.IntRange(1, 65536),
    default=64,
    show_default=True,
    help="Requests that may wait; more get 503 and Retry-After.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 65536),
    default=512,
    show_default=True,
    help="Open at the same time; requests on more get 503 and Retry-After.",
)
@click.option(
    "--largest",
    metavar="MIB",
    type=click.FloatRange(0, 1024, min_open=True),
    default=16,
    show_default=True,
    callback=a_number,
    help="MiB of one body; a larger one gets 413.",
)
@click.option(
    "--held",
    metavar="MIB",
    type=click.FloatRange(0, 1 << 20, min_open=True),
    default=256,
    show_default=True,
    callback=a_number,
    help="MiB of all bodies in memory; more get 503.",
)
@click.option(
    "--body-time",
    metavar="S",
    type=click.FloatRange(0, 3600, min_open=True),
    default=10,
    show_default=True,
    callback=a_number,
    help="Seconds a body may take to arrive; then 408.",
)
@click.option(
    "--request-time",
    metavar="S",
    type=click.FloatRange(0, 3600, min_open=True),
    default=30,
    show_default=True,
    callback=a_number,
    help="Seconds from a request's head to its answer; then 504.",
)
@click.option(
    "--quiet-time",
    metavar="S",
    type=click.FloatRange(0, 3600, min_open=True),
    default=60,
    show_default=True,
    callback=a_number,
    help="Seconds a connection may stay open without a whole request's head.",
)
@click.option(
    "--log",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="One line a request on standard error; never what was sent.",
)
def command(
    bundle: str, listen: str, part: str | None, token_file: Path | None, is_open: bool, certificate: Path | None,
    key: Path | None, workers: int | None, threads: int, engine: str | None, trust: bool, queue: int,
    connections: int, largest: float, held: float, body_time: float, request_time: float, quiet_time: float,
    form: str,
) -> int:  # fmt: skip
    """Answer for BUNDLE over HTTP, until SIGTERM or Ctrl-C; what waits then is still answered.

    \b
    POST /v1/answer?head=server&top=5   a split bundle's stream, or the file that any other network takes
    GET /health                         200 while it runs, 503 while it ends
    GET /metrics                        for Prometheus

    The answer is JSON with the most probable classes; with the header Accept: application/octet-stream it is the
    first output as a .npy file. X-Request-Id is given back. An answer depends on the body alone, so a request may be
    repeated. Errors are JSON with one sentence: 400 damaged, 401 token, 404 and 405 no such thing, 408 too slow, 409 a
    stream of another student, 413 too large, 415 compressed, 503 busy (with Retry-After), 504 over its time.

    The token is a secret of 8 or more signs, in a file or in the environment variable EDGEPRESS_TOKEN; requests
    carry it as Authorization: Bearer TOKEN. Needs the extra serve. The exit code after SIGTERM is 0.
    """
    from edgepress.runtimes.bearer import find_token
    from edgepress.runtimes.serve.limits import Limits
    from edgepress.runtimes.serve.listen import Serving, serve
    from edgepress.runtimes.serve.service import Loading

    limits = Limits(
        queue, connections, round(largest * _MIB), round(held * _MIB), body_time, request_time, quiet_time
    )
    how = Serving(
        listen, part, find_token(token_file), is_open, certificate, key, workers,
        Loading(engine, trust, threads), limits, "json" if form == "json" else "text",
    )  # fmt: skip
    number = serve(bundle, how, lambda line: click.echo(line, err=True))
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    return 0
