"""What object stores answer when they refuse a request reaches the user: the code of the store, and what it means."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from envc.errors import StoreError
from envc.shipping.format.errors import KeyTaken, MissingBlob, NoSuchPlace, NoSuchRange, StoreBusy
from envc.shipping.store.backends.fsspec import RemoteBlobs, open_remote
from envc.shipping.store.backends.refusals import code_of, refusal, refusal_in
from envc.shipping.store.backends.s3 import open_bucket
from envc.shipping.store.blobs import Blobs
from tests.support.blob_servers import Server

KEY = "v1/objects/any/aa/" + "a" * 64
OBSTORE = (
    "Generic S3 error: Error performing PUT http://me:secret@host/bucket/k in 1ms - "
    "Server returned non-2xx status code: {status} Reason: <Error><Code>{code}</Code><Message>secret</Message></Error>"
)


class Refusing(Server):
    """An S3 server that refuses every request with a status and a code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__()
        self.status = status
        self.code = code

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        text = f'<?xml version="1.0"?><Error><Code>{self.code}</Code><Message>secret words</Message></Error>'
        return self.status, {"Content-Type": "application/xml"}, b"" if method == "HEAD" else text.encode()


def store_at(client: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    environ = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "words", "AWS_REGION": "us-east-1"}
    environ |= {"AWS_ENDPOINT_URL": server.url, "AWS_CONFIG_FILE": os.devnull}
    environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    if client == "s3fs":
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        return open_remote("s3://bucket/team")
    store = open_bucket("s3://bucket/team", environ)
    assert store is not None
    return store


@pytest.mark.parametrize("client", ["obstore", "s3fs"])
@pytest.mark.parametrize(
    ("status", "code", "says", "hint"),
    [
        (403, "RequestTimeTooSkewed", "the clock of this machine", "set the clock"),
        (400, "ExpiredToken", "the credentials have expired", "get new credentials"),
        (403, "InvalidAccessKeyId", "does not know these credentials", "check the credentials"),
        (403, "AccessDenied", "do not allow it", "rights to read, write and list"),
        (400, "AuthorizationHeaderMalformed", "another region", "AWS_REGION"),
        (400, "InvalidArgument", "InvalidArgument", "manual"),
        (404, "NoSuchBucket", "does not exist", "create the bucket"),
    ],
)
def test_an_s3_server_refuses(
    client: str, status: int, code: str, says: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"{client} is not installed")
    with Refusing(status, code) as server:
        store = store_at(client, server, monkeypatch)
        for request in (lambda: store.read(KEY, 9), lambda: store.write_new(KEY, b"x"), lambda: store.write(KEY, b"x")):
            with pytest.raises(StoreError) as refused:
                request()
            assert says in str(refused.value)
            assert code in str(refused.value) or code == "NoSuchBucket"
            assert hint in str(refused.value.hint)
            assert "words" not in str(refused.value)
        if code != "NoSuchBucket":
            with pytest.raises(StoreError) as refused:  # by HEAD, whose answer has no body
                store.size(KEY)
            assert f"HTTP {status}" in str(refused.value)
            assert "check the credentials" in str(refused.value.hint)
        assert len(server.log) < 20


@pytest.mark.parametrize("client", ["obstore", "s3fs"])
def test_a_bucket_of_another_region_says_so(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"{client} is not installed")
    with Refusing(301, "PermanentRedirect") as server:
        store = store_at(client, server, monkeypatch)
        with pytest.raises(StoreError, match="another region") as refused:
            store.read(KEY, 9)
        assert "AWS_REGION" in str(refused.value.hint)


def stated(code: str, status: int = 0) -> Exception:
    """An exception with the shape of botocore's, as s3fs raises it: an OSError that was raised from it."""
    error = OSError(22, "secret")
    cause = Exception("secret")
    cause.response = {"Error": {"Code": code, "Message": "secret"}}  # type: ignore[attr-defined]
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("code", ["SlowDown", "503", "ServerBusy", "TooManyRequests"])
def test_a_store_that_asks_to_slow_down_for_long(code: str) -> None:
    for error in (
        refusal("s3://b", "k", stated(code)),
        refusal_in("s3://b", "k", OBSTORE.format(status=503, code=code)),
    ):
        assert isinstance(error, StoreBusy)

        assert error.is_throttled
        assert "the store asks for fewer requests" in str(error)
        assert code in str(error)
        assert "it resumes" in str(error.hint)
        assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InvalidRange", NoSuchRange),
        ("416", NoSuchRange),
        ("PreconditionFailed", KeyTaken),
        ("NoSuchBucket", NoSuchPlace),
        ("ContainerNotFound", NoSuchPlace),
        ("ConditionalRequestConflict", StoreBusy),
        ("InternalError", StoreBusy),
        ("502", StoreBusy),
        ("QuotaExceeded", StoreError),
        ("AuthenticationFailed", StoreError),
    ],
)
def test_codes_become_the_errors_of_stores(code: str, kind: type[StoreError]) -> None:
    assert type(refusal("s3://b", "k", stated(code))) is kind


def test_a_missing_blob_and_an_exception_without_a_code_are_no_refusals() -> None:
    for error in (stated("NoSuchKey"), stated("404"), ValueError("x"), stated("\x1b[31m<script>"), stated("")):
        assert refusal("s3://b", "k", error) is None


class Azure(Exception):
    def __init__(self, code: object, status: int) -> None:
        super().__init__("secret")
        self.error_code = code
        self.status_code = status


class Google(Exception):
    def __init__(self, code: int) -> None:
        super().__init__("secret")
        self.code = code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Azure("AuthorizationFailure", 403), "AuthorizationFailure"),
        (Azure(None, 503), "503"),
        (Google(403), "403"),
        (Google(429), "429"),
        (Google(7), None),
    ],
)
def test_exceptions_of_other_clients_state_a_code_or_a_status(error: Exception, code: str | None) -> None:
    assert code_of(error) == code


@pytest.mark.parametrize("name", ["DefaultCredentialsError", "RefreshError", "ClientAuthenticationError"])
def test_clients_without_credentials_say_so(name: str) -> None:
    class Failing:
        def cat_file(self, *_: Any, **__: Any) -> bytes:
            raise type(name, (Exception,), {})("secret")

    store = RemoteBlobs(Failing(), "bucket", "gs://bucket", whole=True)
    with pytest.raises(StoreError, match="this machine has no credentials"):
        store.read(KEY, 9)


def test_a_missing_blob_is_still_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("obstore") is None:
        pytest.skip("obstore is not installed")
    with Refusing(404, "NoSuchKey") as server, pytest.raises(MissingBlob):
        store_at("obstore", server, monkeypatch).read(KEY, 9)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raise ImportError('libx.so.1: cannot open shared object file')", "ImportError: libx.so.1: cannot open"),
        ("import envc_lacks_this", "ModuleNotFoundError: No module named 'envc_lacks_this'"),
        ("raise AttributeError('aiobotocore has no attribute x')", "AttributeError: aiobotocore has no attribute x"),
    ],
)
@pytest.mark.parametrize("scheme", ["s3", "gs", "abfs", "odd"])
def test_a_library_that_cannot_be_imported_is_named_with_the_real_error(
    text: str, says: str, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_backend.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_backend", raising=False)
    registry = sys.modules["fsspec.registry"]  # `fsspec.registry` is a mapping
    known = {"class": "broken_backend.Store", "err": "Install the library"}
    monkeypatch.setitem(registry.known_implementations, scheme, known)
    monkeypatch.delitem(registry._registry, scheme, raising=False)
    with pytest.raises(StoreError) as refused:
        open_remote(f"{scheme}://me:secret@bucket/team")
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)
    extra = {"s3": "envc[s3]", "gs": "envc[gcs]", "abfs": "envc[azure]", "odd": "the library of fsspec for odd://"}
    assert extra[scheme] in str(refused.value.hint)
