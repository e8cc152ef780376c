"""Serve a registry over HTTP: on the loopback address by default, with TLS and a password on request.

The library's `start_http_server` is not used, for two reasons. Where it serves TLS, it waits for each handshake in the
thread that accepts connections, so that one client that connects and sends nothing stops every scrape. And it knows no
password. Its WSGI application, which makes the content, is used as it is.
"""

from __future__ import annotations

import binascii
import hmac
import ipaddress
import os
import socket
import socketserver
import ssl
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry
from prometheus_client import make_wsgi_app as _make_wsgi_app  # pyright: ignore[reportUnknownVariableType]

from runtimeinfo import RuntimeInfoError

# A client that is slower keeps no thread for longer.
_TIMEOUT_S = 30.0

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ExportError(RuntimeInfoError):
    """The runs cannot be exported as it was asked for."""


@dataclass(frozen=True)
class Security:
    """The protection of the server. By default there is none, which is enough on the loopback address.

    Attributes:
        certificate: The certificate of the server, in PEM, for TLS.
        key: Its private key.
        client_ca: The authority, in PEM, whose certificate a client must show.
        password_file: A file with one line, ``user:password``, which only its owner can read.
    """

    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    password_file: Path | None = None

    @property
    def protects(self) -> bool:
        """Whether clients must authenticate, over an encrypted connection."""
        return self.certificate is not None and (self.client_ca is not None or self.password_file is not None)


class MetricsServer:
    """Serve a registry in threads, until `close`.

    Args:
        registry: The metrics.
        address: A name or number of this machine.
        port: The port; 0 for a free one.
        security: TLS and a password.

    Raises:
        ExportError: If the address is not of this machine, the port is in use, or a file cannot be used.

    Example:
        >>> from urllib.request import urlopen
        >>> with MetricsServer(CollectorRegistry(), port=0) as server:
        ...     urlopen(server.url).status
        200
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        security: Security | None = None,
    ) -> None:
        security = security or Security()
        # On a loopback address, or in a cluster, to compress costs more than to send.
        app = cast("App", _make_wsgi_app(registry, disable_compression=True))
        if security.password_file is not None:
            app = _guarded(app, read_credentials(security.password_file))
        context = _tls_context(security)
        self._server = _listen(address, port, context)
        self._server.set_app(app)
        self.port: int = self._server.server_port
        """The port."""
        self.is_loopback: bool = ipaddress.ip_address(str(self._server.server_address[0])).is_loopback
        """Whether only this machine can connect."""
        host = f"[{address}]" if ":" in address else address
        self.url: str = f"{'http' if context is None else 'https'}://{host}:{self.port}/metrics"
        """Where the metrics are."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="runtimeinfo-export", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop to serve, and free the port."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(WSGIRequestHandler):
    timeout = _TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, family: socket.AddressFamily, address: tuple[str, int], tls: ssl.SSLContext | None) -> None:
        self.address_family = family
        self._tls = tls
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Handle a request, in its own thread; the handshake of TLS is part of that."""
        request.settimeout(_TIMEOUT_S)
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that goes, is silent, or does not speak TLS."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _listen(address: str, port: int, tls: ssl.SSLContext | None) -> _Server:
    try:
        family, _, _, _, found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return _Server(family, (str(found[0]), port), tls)
    except socket.gaierror as error:
        raise ExportError(f"the address {address!r} is unknown: {error.strerror}. Give one of this machine") from None
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExportError(
            f"nothing can be served at {address!r}, port {port}: {reason}. Give an address of this machine, and a port "
            "that is free"
        ) from None


def _tls_context(security: Security) -> ssl.SSLContext | None:
    if security.certificate is None or security.key is None:
        if (security.certificate, security.key, security.client_ca) != (None, None, None):
            raise ExportError("TLS needs both a certificate and its key, with or without an authority for clients")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(security.certificate, security.key)
    except OSError as error:  # an ssl.SSLError is one
        raise ExportError(
            f"the certificate {security.certificate} with the key {security.key} cannot be used: {error}. Both must be "
            "PEM, and belong together"
        ) from None
    if security.client_ca is not None:
        try:
            context.load_verify_locations(security.client_ca)
        except OSError as error:
            raise ExportError(
                f"the authority {security.client_ca} cannot be used: {error}. It has to be in PEM"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def read_credentials(path: Path) -> bytes:
    """Return ``user:password`` from a file.

    Raises:
        ExportError: If it cannot be read, has something else, or is open to other users.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExportError(
            f"the password file {path} cannot be read: {reason}. Give a file with one line, user:password"
        ) from None
    if os.name == "posix" and mode & 0o077:
        raise ExportError(f"the password file {path} is open to other users: chmod 600 {path}")
    user, colon, password = text.partition(":")
    if not (user and colon and password) or not text.isprintable():
        raise ExportError(f"the password file {path} must have one line, user:password")
    return text.encode()


def _guarded(app: App, credentials: bytes) -> App:
    """Return the application behind basic authentication."""

    def ask_first(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        scheme, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        try:
            given = b64decode(token, validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):  # ValueError: the token is not ASCII
            given = b""
        # In a time that does not tell how much of it is right.
        if hmac.compare_digest(given, credentials):
            return app(environ, start_response)
        body = b"a user and a password are needed\n"
        start_response(
            "401 Unauthorized",
            [
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("WWW-Authenticate", 'Basic realm="runtimeinfo", charset="UTF-8"'),
            ],
        )
        return [body]

    return ask_first
