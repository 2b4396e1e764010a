"""Answers of a server with headers that break parsers: each ends in an answer, or in the error of the source."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from envc.errors import SourceUnreachable
from envc.fetch.net.credentials import Keyring
from envc.fetch.net.http import Client, max_age
from envc.system.retries import RetryPolicy

OK = "HTTP/1.1 200 OK\r\n"
BODY = "Content-Length: 2\r\n\r\nok"
BUSY = "HTTP/1.1 503 Busy\r\n"
MOVED = "HTTP/1.1 302 Found\r\n"
ANSWERS = {
    "nothing": "",
    "no HTTP": "hello\r\n\r\n",
    "a status of another alphabet": "HTTP/1.1 \xb2 OK\r\n" + BODY,
    "a long status": f"HTTP/1.1 {'9' * 5000} OK\r\n" + BODY,
    "a NUL": "HTTP/1.1 200 OK\r\nA\0: b\r\n" + BODY,
    "a header without a name": OK + ": b\r\n" + BODY,
    "half a header": OK + "Content-Type",
    "a bare CR": OK + "A: b\rC: d\r\n" + BODY,
    "many headers": OK + "".join(f"A{number}: b\r\n" for number in range(500)) + BODY,
    "a long header": OK + f"A: {'b' * 100_000}\r\n" + BODY,
    "a long length": OK + f"Content-Length: {'9' * 5000}\r\n\r\nok",
    "a length of another alphabet": OK + "Content-Length: \xb2\r\n\r\nok",
    "a negative length": OK + "Content-Length: -1\r\n\r\nok",
    "two lengths": OK + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "bad chunks": OK + "Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n",
    "a long chunk": OK + f"Transfer-Encoding: chunked\r\n\r\n{'f' * 5000}\r\nok\r\n",
    "no gzip": OK + "Content-Encoding: gzip\r\n" + BODY,
    "an unknown coding": OK + "Content-Encoding: nosuch\r\n" + BODY,
    "an age of another alphabet": OK + "Cache-Control: max-age=\xb2\r\n" + BODY,
    "a long age": OK + f"Cache-Control: max-age={'9' * 5000}\r\n" + BODY,
    "a delay of another alphabet": BUSY + "Retry-After: \xb2\r\n" + BODY,
    "a long delay": BUSY + f"Retry-After: {'9' * 5000}\r\n" + BODY,
    "a delay to the first year": BUSY + "Retry-After: Mon, 01 Jan 0001 00:00:00 +2359\r\n" + BODY,
    "a delay to the last year": BUSY + "Retry-After: Fri, 31 Dec 9999 23:59:59 -2359\r\n" + BODY,
    "a delay to no day": BUSY + "Retry-After: Wed, 4611686018427387904 Oct 2015 07:28:00 GMT\r\n" + BODY,
    "an open bracket": MOVED + "Location: http://[::1\r\n" + BODY,
    "a port that is none": MOVED + "Location: http://a:99999999/\r\n" + BODY,
    "a long port": MOVED + f"Location: http://a:{'9' * 5000}/\r\n" + BODY,
    "a place without a host": MOVED + "Location: http://\r\n" + BODY,
    "a blank in a place": MOVED + "Location: http://127.0.0.1:1/a b\r\n" + BODY,
    "a host that is no name": MOVED + "Location: http://\xff\xfe/\r\n" + BODY,
    "a long label": MOVED + f"Location: http://{'a' * 300}.example/\r\n" + BODY,
}


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of a server that sends these bytes to every request."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_odd_answer_is_read_or_the_source_is_named(answer: str) -> None:
    client = Client(Keyring(), read_timeout=2.0, retries=RetryPolicy(tries=2, first=0.001))
    with answering(answer.encode("latin-1")) as url:
        try:
            reply = client.get("internal", "its page", url, limit=1 << 20)
        except SourceUnreachable as error:
            assert str(error).startswith("cannot get its page from internal: ")
        else:
            assert max_age(reply.headers) >= 0
        finally:
            client.close()
