"""The patterns of a ``.gitignore`` file, in a form whose matching time is bounded, whatever the pattern.

Imported only where such a file exists, because it imports pathspec.
"""

from __future__ import annotations

import re
import warnings

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from envc_solvers.malformed import malformed

# The parts of pathspec's expressions that repeat. A pattern cannot write them: in a glob, a slash separates segments.
_STAR = "[^/]*"
_LEADING, _INNER = "^(?:.+/)?", "(?:/.+)?"


class _Pattern(GitIgnoreSpecPattern):
    """A pattern that does not go back to an earlier wildcard once the text up to the next one has matched.

    pathspec's expression for ``*a*a*a*a*b`` tries every way to distribute a name over the stars, which takes longer
    than a lifetime for some names. Git does the same. The first place where the text between two wildcards matches is
    as good as any later one, because the second wildcard takes the rest. So these parts become atomic groups, as in
    ``fnmatch``; only the last wildcard of its kind tries several places.
    """

    __slots__ = ()

    @classmethod
    def pattern_to_regex(cls, pattern: str) -> tuple[str | None, bool | None]:  # type: ignore[override]
        regex, include = super().pattern_to_regex(pattern)
        return (None if regex is None else _without_backtracking(regex)), include


def patterns(text: str) -> list[GitIgnoreSpecPattern]:
    """The patterns of a file. Like git, it leaves out those that are invalid, such as ``[z-a]``."""
    found: list[GitIgnoreSpecPattern] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of `re`, for brackets like [[:space:]]
        for line in text.split("\n"):
            try:
                found.append(_Pattern(line.removesuffix("\r")))
            except malformed(re.error):
                continue
    return found


def _without_backtracking(regex: str) -> str:
    """An expression of pathspec that matches the same paths, without trying more than one place for most wildcards."""
    head = _LEADING if regex.startswith(_LEADING) else ""
    first, *others = [_stars(block) for block in regex.removeprefix(head).split(_INNER)]
    if not others:
        return head + first
    start = f"(?>^(?:.+?/)??{first}(?=/))" if head else f"{first}(?=/)"
    return start + "".join(f"(?>(?:/.+?)??{block}(?=/))" for block in others[:-1]) + _INNER + others[-1]


def _stars(block: str) -> str:
    """The expression of segments without ``**`` between them. No star matches a slash, so segments need no care."""
    first, *others = block.split(_STAR)
    if not others:
        return block
    return first + "".join(f"(?>{_STAR}?{chunk})" for chunk in others[:-1]) + _STAR + others[-1]
