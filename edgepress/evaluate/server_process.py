"""The server's end of a measurement: ``edgepress serve`` in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from edgepress.errors import EdgepressError
from edgepress.hardware.child import module_command, module_environment

_PATIENCE = 60.0  # seconds to end in


@contextlib.contextmanager
def server_process(bundle: Path, *, engine: str | None = None, trust: bool = False) -> Iterator[str]:
    """Serve a bundle on a free port of this machine, one worker on one thread; gives ``HOST:PORT``.

    Raises:
        EdgepressError: it does not start; the message is its own.
    """
    words = ["serve", str(bundle), "--listen", "127.0.0.1:0", "--workers", "1", "--log", "json"]
    words += ["--engine", engine] if engine else []
    words += ["--trust"] if trust else []
    environment = {key: value for key, value in module_environment().items() if key != "EDGEPRESS_TOKEN"}
    process = subprocess.Popen(
        module_command("edgepress", *words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    assert process.stderr is not None
    with process:
        try:
            address, said = "", ""
            for line in process.stderr:
                said = line.strip() or said
                with contextlib.suppress(ValueError):
                    found = json.loads(line)
                    if found.get("event") == "listening":
                        address = urlsplit(found["url"]).netloc
                        break
            if not address:
                raise EdgepressError(f"the server of {bundle} does not start ({said[:300]})")
            rest = threading.Thread(
                target=process.stderr.read, daemon=True
            )  # so that it never waits for a reader
            rest.start()
            yield address
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
