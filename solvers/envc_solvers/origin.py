"""Where a requirement is written, as a value: a key path, and texts that show one.

A solver carries key paths from the problem to the explanation and never reads them. The caller decides how a place is
shown, when it renders the explanation: it may look up the line of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

_BARE_KEY = r"[A-Za-z0-9_-]+"

KeyPath = tuple[str | int, ...]  # ("steps", "train", "pypi", 0); () if it is written nowhere
ShowPlace = Callable[[KeyPath], str]  # a key path as text: "steps.train.pypi[0], line 12"
Phrase = tuple[str | KeyPath, ...]  # the parts of a text; each key path in it is shown as a place


def render_key_path(key_path: KeyPath) -> str:
    """``("steps", "train", "pypi", 0)`` as ``steps.train.pypi[0]``; keys that TOML would quote are quoted."""
    text = ""
    for part in key_path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if re.fullmatch(_BARE_KEY, part) else msgspec.json.encode(part).decode()
            text += f"{'.' if text else ''}{shown}"
    return text


def render(phrase: Phrase, show: ShowPlace = render_key_path) -> str:
    """The phrase as one text."""
    return "".join(part if isinstance(part, str) else show(part) for part in phrase)
