"""Cut-offs: moments and spans, in every form that a manifest accepts."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from envc.model.kinds import Cutoff
from envc_solvers.malformed import malformed, reason_of

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# Not compiled until a span is read: most manifests have none.
_WORDS = r"(\d+)\s*(s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?|w|weeks?)(?![a-z])\s*(?:,\s*)?(?:and\s+)?"
_ISO = r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
_LONGEST = timedelta(days=365_000)  # counted back from any present, it ends after the year 1
_FORMS = 'write "2026-11-01T00:00:00Z", 2026-11-01 or a span such as "7 days"'


class BadCutoff(ValueError):
    """A cut-off that cannot be parsed. `suggestion` says what to write."""

    def __init__(self, reason: str, suggestion: str = _FORMS) -> None:
        super().__init__(reason)
        self.suggestion = suggestion


def parse_cutoff(value: object) -> Cutoff:
    """Read a cut-off from a TOML value: a date-time, a date, or a string with one of them or a span.

    Date-times are returned aware and in UTC. A date includes that whole day (UTC), as in other tools. Raises BadCutoff.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise BadCutoff(
                "a date-time without a zone is a different moment on every machine", f"write {value.isoformat()}Z"
            )
        try:
            return value.astimezone(UTC)
        except malformed():
            raise BadCutoff(f"{value} is out of range") from None
    if isinstance(value, date):
        try:
            return datetime(value.year, value.month, value.day, tzinfo=UTC) + timedelta(days=1)
        except malformed():
            raise BadCutoff(f"{value} is out of range") from None
    if isinstance(value, str):
        return _parse_text(value.strip())
    raise BadCutoff("expected a date-time, a date or a string")


def _parse_text(text: str) -> Cutoff:
    if re.match(r"\d{4}-\d\d-\d\d", text):
        try:
            return parse_cutoff(date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text.upper()))
        except BadCutoff:
            raise
        except malformed() as error:
            raise BadCutoff(f"{text!r} is not a moment: {reason_of(error)}") from None
    try:
        span = _parse_span(text)
    except malformed():
        raise BadCutoff(f"{text[:80]!r} is too long") from None
    if span is None:
        if re.search(r"\d\s*(mo|y)|P\d+[MY]", text, re.IGNORECASE):
            raise BadCutoff(
                f"{text!r} is not a fixed span: months and years differ in length", "count in days or weeks"
            )
        raise BadCutoff(f"{text!r} is neither a moment nor a span")
    if span > _LONGEST:
        raise BadCutoff(f"{text[:80]!r} is too long", f"write at most {_LONGEST.days} days")
    if not span:
        raise BadCutoff(f"{text!r} is a span of zero", "leave the key out to allow everything")
    return span


def _parse_span(text: str) -> timedelta | None:
    iso = re.fullmatch(_ISO, text.upper())
    if iso is not None and any(iso.groupdict().values()):
        return timedelta(**{unit: int(count) for unit, count in iso.groupdict().items() if count})
    words = re.compile(_WORDS, re.IGNORECASE)
    span, position = timedelta(), 0
    while position < len(text):
        match = words.match(text, position)
        if match is None:
            return None
        span += timedelta(**{_UNITS[match[2][0].lower()]: int(match[1])})
        position = match.end()
    return span if text else None
