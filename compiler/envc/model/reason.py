"""reason: a third party's text, made safe for locks and messages."""

from __future__ import annotations

import re

MAX_LENGTH = 200  # characters of a reason
_MAX_READ = 2_000  # characters; the rest of a text is ignored
# Words that are or may be addresses: `//` and `:/` of URLs, `\\` of shares, the `@` of logins and mailboxes, escaped
# characters, a port, and a dot before a label of letters, as at the end of a host name. Versions have digits there.
_ADDRESS = r"//|:/|\\\\|@|%[0-9A-Fa-f]{2}|:\d|\w\.[^\W\d_]{2,}(?!\w)"


def plain_reason(text: str) -> str:
    """The words of a text on one line, at most `MAX_LENGTH` characters, with "…" for each word that may be an address.

    Indexes pass on whatever a publisher wrote: line ends, control characters, characters that change the direction of
    text, megabytes of text, and addresses. A lock holds no addresses, not even host names. A dotted name such as
    `setup.py` cannot be distinguished from a host name. The function is idempotent.
    """
    from unicodedata import category, normalize

    # Invisible characters are removed, because one inside an address would hide it. Characters that the tables of this
    # Python do not know are kept, so that every Python writes the same lock.
    spaced = (" " if each.isspace() else each for each in text[:_MAX_READ])
    words = "".join(each for each in spaced if category(each) not in ("Cc", "Cf", "Cs", "Co")).split()
    if len(text) > _MAX_READ:
        del words[-1:]  # it may be the first half of an address
    # Browsers read full-width letters and signs as plain ones.
    line = " ".join("…" if re.search(_ADDRESS, normalize("NFKC", word)) else word for word in words)
    return line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 1].rpartition(' ')[0]} …".lstrip()
