"""Why an object store refuses a request, by the error code that it states, and what to do about it.

Sources: "Error responses" of the S3 API reference, "Blob Storage error codes" of Azure, and the status codes of HTTP
for answers without a body, as to HEAD. Only the code is shown: the rest of an answer may contain the URL and the name
of a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from envc.errors import StoreError
from envc.shipping.format.errors import KeyTaken, NoSuchPlace, NoSuchRange, StoreBusy

_CODE = re.compile(r"[A-Za-z0-9.]{2,64}")
_IN_XML = re.compile(r"<Code>\s*([A-Za-z0-9.]{2,64})\s*</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_LOGIN = "check the credentials that this machine has for the store"
_REGION = "set AWS_REGION to the region of the bucket, and AWS_ENDPOINT_URL to its endpoint"
_CHAIN = 8  # exceptions that are looked at


class _Meaning(NamedTuple):
    kind: Literal["refused", "busy", "place", "range", "taken"]
    reason: str = ""
    hint: str | None = None


_SKEWED = _Meaning(
    "refused", "the clock of this machine differs too much from the store's", "set the clock of this machine"
)
_EXPIRED = _Meaning(
    "refused", "the credentials have expired", "get new credentials, and run the same command again: it resumes"
)
_UNKNOWN = _Meaning("refused", "the store does not know these credentials", _LOGIN)
_DENIED = _Meaning(
    "refused", "these credentials do not allow it", f"{_LOGIN}, and their rights to read, write and list there"
)
_ELSEWHERE = _Meaning("refused", "the bucket is in another region, or has another endpoint", _REGION)
_FULL = _Meaning("refused", "the store is full, or its quota is used up", "make room in the store")
_SLOWER = _Meaning("busy", "the store asks for fewer requests")
_FAILED = _Meaning("busy", "the store failed")
_BETWEEN = _Meaning("busy", "another request changed the same blob")
_PLACE, _RANGE, _TAKEN = _Meaning("place"), _Meaning("range"), _Meaning("taken")

_MEANINGS: dict[str, _Meaning] = {
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), _SKEWED),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity", "AuthenticationFailed",
         "InvalidAuthenticationInfo", "NoAuthenticationInformation", "401"),
        _UNKNOWN,
    ),
    **dict.fromkeys(
        ("AccessDenied", "AllAccessDisabled", "AccountProblem", "AuthorizationFailure",
         "AuthorizationPermissionMismatch", "InsufficientAccountPermissions", "AccountIsDisabled"),
        _DENIED,
    ),
    "403": _Meaning(
        "refused", "the credentials do not allow it, or are not accepted", f"{_LOGIN}, and the clock of this machine"
    ),
    "400": _Meaning("refused", "", f"{_LOGIN}, and the region of the bucket"),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "IncorrectEndpoint",
         "301", "307"),
        _ELSEWHERE,
    ),
    **dict.fromkeys(("NoSuchBucket", "InvalidBucketName", "ContainerNotFound", "ContainerBeingDeleted"), _PLACE),
    **dict.fromkeys(("QuotaExceeded", "QuotaExceededException", "XMinioStorageFull", "507"), _FULL),
    **dict.fromkeys(
        ("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests",
         "TooManyRequestsException", "ServerBusy", "ServiceUnavailable", "503", "429"),
        _SLOWER,
    ),
    **dict.fromkeys(("InternalError", "InternalServerError", "OperationTimedOut", "RequestTimeout", "BadDigest",
                     "IncompleteBody", "500", "502", "504", "408"), _FAILED),
    **dict.fromkeys(("ConditionalRequestConflict", "OperationAborted", "409"), _BETWEEN),
    **dict.fromkeys(("InvalidRange", "416"), _RANGE),
    **dict.fromkeys(("PreconditionFailed", "BlobAlreadyExists", "ConditionNotMet", "412"), _TAKEN),
}  # fmt: skip


def refusal(store: str, key: str, error: BaseException) -> StoreError | None:
    """The error that stands for what a store answered; None for an exception without a code of the store.

    StoreBusy if another try may succeed. A blob that does not exist is no refusal.
    """
    code = code_of(error)
    if code is None or code in ("404", "NoSuchKey", "BlobNotFound"):
        return None
    meaning = _MEANINGS.get(code)
    shown = f"HTTP {code}" if code.isdecimal() else code
    if meaning is None:
        is_server = code.isdecimal() and code >= "500"
        meaning = _FAILED if is_server else _Meaning("refused", "", "look up the code in the manual of the store")
    because = f"{shown} ({meaning.reason})" if meaning.reason else shown
    match meaning.kind:
        case "place":
            return NoSuchPlace(store)
        case "range":
            return NoSuchRange(store, f"has no such range in {key}")
        case "taken":
            return KeyTaken(store, f"holds {key} already")
        case "busy":
            return StoreBusy(store, f"failed at {key}: {because}", is_throttled=meaning is _SLOWER)
    return StoreError(store, f"refused the request for {key}: {because}", meaning.hint)


def code_of(error: BaseException) -> str | None:
    """The code that a store stated, else the status of its answer, from an exception of its client."""
    status = None
    for each in _chain(error):
        response = getattr(each, "response", None)  # botocore
        stated = response.get("Error") if isinstance(response, Mapping) else None
        code = stated.get("Code") if isinstance(stated, Mapping) else getattr(each, "error_code", None)  # azure
        code = getattr(code, "value", code)
        if isinstance(code, str) and _CODE.fullmatch(code):
            return code
        for name in ("code", "status_code", "status"):  # gcsfs, azure, aiohttp
            number = getattr(each, name, None)
            if isinstance(number, int) and 300 <= number < 600:
                status = status or str(number)
    return status


def code_in(text: str) -> str | None:
    """The code, else the status, in the text of an exception of obstore. The text contains the answer of the store."""
    if "redirect without LOCATION" in text:  # S3 redirects requests for buckets of other regions in this way
        return "PermanentRedirect"
    found = _IN_XML.search(text) or _STATUS.search(text)
    return found[1] if found else None


def refusal_in(store: str, key: str, text: str) -> StoreError | None:
    """As `refusal`, for the text of an exception of obstore."""
    code = code_in(text)
    return refusal(store, key, _Stated(code)) if code is not None else None


class _Stated(Exception):
    """A code that was read from a text."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.error_code = code


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that it was raised from."""
    each: BaseException | None = error
    for _ in range(_CHAIN):
        if each is None:
            return
        yield each
        each = each.__cause__ or each.__context__
