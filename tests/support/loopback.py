"""The base of the servers of tests: HTTP on the loopback interface, in a thread, while a `with` block runs."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Loopback:
    """A threaded server. Handlers reach it as `owner`. Its address is known before it starts."""

    def __init__(self, handler: type[Handler]) -> None:
        self._server = _Server(("127.0.0.1", 0), type("Handler", (handler,), {"owner": self}))
        # A connection that is reset before it is accepted would block the server forever (accept(2)).
        self._server.socket.settimeout(1)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def base(self) -> str:
        """URL of the root, without a trailing slash."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop the server: later connections are refused."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Handler(BaseHTTPRequestHandler):
    """One connection. Subclasses declare the type of `owner`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: Any

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: each server keeps its own log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: clients that disconnect are part of the tests."""
