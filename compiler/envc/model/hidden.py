"""Characters that a reader of text does not see, or that change how the text around them is shown.

Terminals act on controls (ECMA-48). The others are invisible, or reorder text, so that a reviewer sees another text
than a program reads (Unicode technical standard 55, "Source Code Handling"; CVE-2021-42574).
"""

from __future__ import annotations

# As the inside of a set in a regular expression: C0 and C1 controls; soft hyphen; marks and overrides of direction;
# zero-width and filling characters; separators of lines; annotations; language tags; lone surrogates.
HIDDEN = (
    r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
