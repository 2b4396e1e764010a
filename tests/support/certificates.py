"""What a test's server needs to speak TLS, and surroundings in which nothing else says how servers are reached."""

from __future__ import annotations

import ssl

import pytest
import trustme

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "all_proxy", "no_proxy")


def server_context(authority: trustme.CA, *, demands: bool = False) -> ssl.SSLContext:
    """TLS for a server on the loopback interface; `demands` has it ask each client for a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if demands:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def forget_network_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset every variable that says how servers are reached."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
