"""TLS contexts for the servers of tests, and an environment without variables that affect connections."""

from __future__ import annotations

import ssl

import pytest
import trustme

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "all_proxy", "no_proxy")


def server_context(authority: trustme.CA, *, demands: bool = False) -> ssl.SSLContext:
    """Return a TLS context for a server on the loopback interface. With `demands` it requires a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if demands:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def forget_network_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset every variable that affects how servers are reached."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
