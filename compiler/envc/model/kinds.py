"""The closed sets of words that values of several modules carry."""

from __future__ import annotations

from typing import Literal

ArtifactKind = Literal["pypi", "conda", "interpreter"]
DependencyKind = Literal["pypi", "conda"]  # what a manifest lists
InterpreterKind = Literal["conda", "standalone", "host"]
BuildOrigin = Literal["sdist", "commit", "tree"]  # what a wheel was built from
SourceKind = Literal["pypi", "find-links", "conda"]
# The name of the source of a project whose address stands in the manifest's requirement.
DirectSource = Literal["url", "path", "git"]
DIRECT_SOURCES: frozenset[str] = frozenset({"url", "path", "git"})
