"""Serving an app on uvicorn: one socket, our own TLS context, our own way to stop.

uvicorn hides the client's certificate from the app: `PeerProtocol` puts the fingerprint of its key
into the scope, which is how a server knows its caller; headers are never believed.

It does NOT know what it serves.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Generator
from typing import Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from concura.errors import PortInUse
from concura.sealing.keys import fingerprint

__all__ = ["PeerProtocol", "bind", "serve"]

# Seconds that an open request may still take when the server stops; idle keep-alive
# connections would otherwise hold it up for good.
GRACE_S = 2
# Seconds that an idle connection stays open; longer than any client of ours keeps it, so that no
# request meets a closing connection.
IDLE_S = 75


class PeerProtocol(HttpToolsProtocol):
    """HTTP/1.1 that tells the app whose TLS key is at the other end (`scope["peer"]`)."""

    _peer: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn types it
        """Take the fingerprint once per connection."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        if certificate:
            key = x509.load_der_x509_certificate(certificate).public_key()
            spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            self._peer = fingerprint(spki)

    def on_message_begin(self) -> None:
        """Put it into the scope of every request on the connection."""
        super().on_message_begin()
        self.scope["peer"] = self._peer  # type: ignore[typeddict-unknown-key]  # our own scope key


class _Server(uvicorn.Server):
    """A server that leaves signals to the program it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 lets the system choose.

    Raises:
        PortInUse: another program has the port, or the host is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        raise PortInUse(port=port, host=host) from error
    listener.setblocking(False)  # noqa: FBT003 - its only form
    return listener


async def serve(
    app: Any,
    listener: socket.socket,
    *,
    context: ssl.SSLContext | None = None,
    started: Callable[[], None] = lambda: None,
    stopping: Callable[[], None] = lambda: None,
    stop: asyncio.Event,
) -> None:
    """Serve until `stop` is set, then let open requests end within `GRACE_S` seconds.

    Args:
        app: the ASGI app.
        listener: from `bind`.
        context: the TLS side that listens; None without TLS.
        started: called when it serves.
        stopping: called when it was asked to stop, to end what waits for news.
        stop: asks it to stop.
    """
    config = uvicorn.Config(
        app,
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_context_factory=None if context is None else lambda _config, _default: context,
    )
    server = _Server(config)
    running = asyncio.ensure_future(server.serve([listener]))
    # uvicorn has no event for "started"; binding is done, so this is a few turns of the loop.
    while not server.started and not running.done():  # noqa: ASYNC110 - its flag is no event
        await asyncio.sleep(0.005)
    if server.started:
        started()
    asked = asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    stopping()
    server.should_exit = True
    await running
