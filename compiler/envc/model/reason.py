"""reason: what somebody else wrote, as a lock may hold it and a message may show it."""

from __future__ import annotations

import re

MOST = 200  # characters of a reason
_LOOKED_AT = 2_000  # characters; whoever has more to say is not read
# Words that lead somewhere, or may: `//` and `:/` of URLs, `\\` of shares, the `@` of logins and mailboxes, escaped
# characters, a port, and a dot before a label of letters alone, as hosts end in. Versions have digits there.
_ADDRESS = r"//|:/|\\\\|@|%[0-9A-Fa-f]{2}|:\d|\w\.[^\W\d_]{2,}(?!\w)"


def plain_reason(text: str) -> str:
    """The words of a text on one line, at most `MOST` characters, with "…" for each that may be an address.

    Indexes pass on what anybody wrote there: line ends, characters that move a cursor or turn text around, megabytes,
    and addresses, of which a lock holds none, down to host names. A dotted name such as `setup.py` cannot be told from
    one. Applied again it changes nothing.
    """
    from unicodedata import category, normalize

    # What cannot be seen joins what stands around it: a character without width would hide an address. What this
    # Python's tables do not know yet stays, so that every Python writes the same lock.
    seen = (" " if each.isspace() else each for each in text[:_LOOKED_AT])
    words = "".join(each for each in seen if category(each) not in ("Cc", "Cf", "Cs", "Co")).split()
    if len(text) > _LOOKED_AT:
        del words[-1:]  # perhaps the first half of an address
    # Full-width letters and signs are read as plain ones by whoever follows them.
    told = " ".join("…" if re.search(_ADDRESS, normalize("NFKC", word)) else word for word in words)
    return told if len(told) <= MOST else f"{told[: MOST - 1].rpartition(' ')[0]} …".lstrip()
