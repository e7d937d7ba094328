"""From a bundle to a server that runs until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from edgepress.errors import UsageError
from edgepress.runtimes.bearer import Guard
from edgepress.runtimes.serve.application import Application
from edgepress.runtimes.serve.connections import bound_files, connection_class, sweep_for_ever
from edgepress.runtimes.serve.journal import Form, Journal
from edgepress.runtimes.serve.limits import Limits
from edgepress.runtimes.serve.metrics import Metrics
from edgepress.runtimes.serve.service import Loading, open_service, open_services
from edgepress.runtimes.serve.workers import Workers
from edgepress.targets.detect import usable_cores

_BACKLOG = 2048
_LARGEST_HEAD = 16 << 10


@dataclass(frozen=True)
class Serving:
    """How a bundle is served.

    Attributes:
        listen: ``host:port``; port 0 takes a free one.
        part: which part of a bundle that is not split; needed only where there are several.
        token: that requests must carry; empty asks for none.
        open: listen to other machines although there is no token.
        certificate, key: PEM files for TLS; none for plain HTTP.
        workers: threads, each with a session of its own; None takes one for each processor.
        loading: how the bundle is loaded.
        limits: what is taken on.
        form: of the lines that are logged.
    """

    listen: str = "127.0.0.1:8080"
    part: str | None = None
    token: str = ""
    open: bool = False
    certificate: Path | None = None
    key: Path | None = None
    workers: int | None = None
    loading: Loading = field(default_factory=Loading)
    limits: Limits = field(default_factory=Limits)
    form: Form = "text"


def serve(path: str | Path, how: Serving, say: Callable[[str], None]) -> int:
    """Serve a bundle until SIGTERM or SIGINT, then answer what waits.

    Args:
        path: the bundle.
        how: see :class:`Serving`.
        say: takes each line of the log.

    Returns:
        The number of the signal.

    Raises:
        BundleError: the file is damaged, or is no bundle.
        UsageError: it cannot be served, the address cannot be listened on, or is open to others without a token.
    """
    host, port = split_address(how.listen)
    tls = _tls(how)
    with contextlib.closing(_bind(host, port, how)) as listener:
        count = how.workers or usable_cores()
        services = open_services(lambda: open_service(path, how.part, how.loading), count)
        service = services[0]
        journal = Journal(how.form, say)
        metrics = Metrics(service.name, service.identity)
        with contextlib.closing(Workers(services, how.limits.queue, metrics.worked)) as workers:
            guard = Guard(how.token)
            application = Application(service, workers, how.limits, guard, metrics, journal, lambda: 0)
            if service.note:
                journal.event("note", note=service.note)
            return asyncio.run(_run(application, listener, tls, host))


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[::1]:port``.

    Raises:
        UsageError: it is no address.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise UsageError(f"{text!r} is no address to listen on; give HOST:PORT, such as 127.0.0.1:8080")
    return host, int(port)


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are ours: by itself it would end by SIGTERM, not with 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(
    application: Application, listener: socket.socket, tls: ssl.SSLContext | None, host: str
) -> int:
    limits, journal = application.limits, application.journal
    for name in ("uvicorn.error", "uvicorn.asgi"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # the journal says it
    config = uvicorn.Config(
        application, http=connection_class(limits, journal), ws="none", lifespan="off", loop="asyncio",
        log_config=None, access_log=False, proxy_headers=False, server_header=False, backlog=_BACKLOG,
        timeout_keep_alive=math.ceil(limits.quiet_s), h11_max_incomplete_event_size=_LARGEST_HEAD,
        timeout_graceful_shutdown=math.ceil(limits.request_s + 2 * limits.body_s),
        ssl_context_factory=(lambda *_: tls) if tls is not None else None,
    )  # fmt: skip
    server = _Server(config)
    open_ones = server.server_state.connections
    application.connections = lambda: len(open_ones)
    ended: list[int] = []

    def end(number: int) -> None:
        ended.append(number)
        application.ending = server.should_exit = True
        server.force_exit = len(ended) > 1

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: _event_of(journal, context))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    sweeper = asyncio.create_task(sweep_for_ever(open_ones, limits))
    bound_files(limits)
    listener.listen(_BACKLOG)  # who reads the next line may connect at once
    port = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    journal.event(
        "listening", url=f"{'https' if tls else 'http'}://{shown}:{port}", bundle=application.service.name,
        identity=application.service.identity, heads=",".join(application.service.heads),
    )  # fmt: skip
    try:
        await server.serve(sockets=[listener])
    finally:
        sweeper.cancel()
    journal.event("ended", signal=signal.Signals(ended[0]).name if ended else None)
    return ended[0] if ended else signal.SIGTERM


def _event_of(journal: Journal, context: dict[str, Any]) -> None:
    """What asyncio would print a traceback for, such as a handshake of TLS that was no such thing."""
    error = context.get("exception")
    journal.event("socket", error=f"{context.get('message', '')}: {type(error).__name__}: {error}")


def _bind(host: str, port: int, how: Serving) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        if not (ipaddress.ip_address(address[0]).is_loopback or how.token or how.open):
            raise UsageError(
                f"{how.listen} can be reached by other machines, and there is no token; give --token-file, set "
                "EDGEPRESS_TOKEN, or let everybody in with --open"
            )
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"{how.listen} cannot be listened on ({cause}); choose another with --listen"
        ) from None
    return listener


def _tls(how: Serving) -> ssl.SSLContext | None:
    if how.certificate is None and how.key is None:
        return None
    if how.certificate is None or how.key is None:
        raise UsageError("TLS needs both a certificate and its key; give --certificate and --key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(how.certificate, how.key, password=lambda: b"")  # never asks on a terminal
    except (OSError, ssl.SSLError) as error:
        cause = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"{how.certificate} and {how.key} cannot be used for TLS ({cause}); give a certificate and its key as "
            "PEM files without a password"
        ) from None
    return context
