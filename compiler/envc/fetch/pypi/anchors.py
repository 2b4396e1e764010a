"""The links of an HTML page (PEP 503), read within bounds of memory and time.

Imported only for HTML pages, because unearth imports an HTTP client, which takes 0.2 s.
"""

from __future__ import annotations

from unearth.collector import IndexHTMLParser

from envc.model.limits import HTML_TAG_BYTES, PAGE_FILES

_ATTRIBUTES = ("href", "data-core-metadata", "data-dist-info-metadata", "data-requires-python", "data-yanked")
_USUAL_TAG_BYTES = 1024  # real tags have some hundred
_TAGS = 8  # that a page may have for each file: real ones have three, of start, end and line break
_MOST_ATTRIBUTES = 16 * PAGE_FILES  # real pages have four for each file


class Anchors(IndexHTMLParser):
    """The `anchors` of a page, with those attributes that mean something."""

    def __init__(self) -> None:
        super().__init__()
        self._attributes = 0

    def feed(self, data: str) -> None:
        """Read a page. Raises ValueError if it is not HTML, or larger than any page of an index."""
        if data.count("<") > _TAGS * PAGE_FILES:
            raise ValueError(f"it lists more than {PAGE_FILES:,} files")
        super().feed(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes += len(attrs)
        if self._attributes > _MOST_ATTRIBUTES:
            raise ValueError(f"its tags have more than {_MOST_ATTRIBUTES:,} attributes")
        super().handle_starttag(tag, attrs)
        if tag == "a":
            anchor = self.anchors[-1]
            self.anchors[-1] = {name: anchor[name] for name in _ATTRIBUTES if name in anchor}
            if len(self.anchors) > PAGE_FILES:
                raise ValueError(f"it lists more than {PAGE_FILES:,} files")

    def check_for_whole_start_tag(self, i: int) -> int:
        """The end of the tag at `i`, as in the base class, whose pattern needs 200 bytes of memory for each character.

        Nearly all tags are short. Copying the longest possible tag for each of a million would take minutes.
        """
        end = self._end_within(i, _USUAL_TAG_BYTES)
        if end < 0 or self.rawdata[end - 1] != ">":
            end = self._end_within(i, HTML_TAG_BYTES)
        if end < 0 and len(self.rawdata) - i > HTML_TAG_BYTES:
            raise ValueError(f"it has a tag of more than {HTML_TAG_BYTES:,} characters")
        return end

    def _end_within(self, i: int, length: int) -> int:
        """The end of the tag at `i`, as if the page ended after so many characters of it; -1 if it does not end."""
        whole = self.rawdata
        self.rawdata = whole[i : i + length]
        try:
            end: int = super().check_for_whole_start_tag(0)
        finally:
            self.rawdata = whole
        return end if end < 0 else i + end
