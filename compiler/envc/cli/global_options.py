"""The options of every command: ``-C``, ``--color`` and ``--version``; and ``envc help``.

They are taken from the command line before a verb is chosen, so that no verb has to declare them.
"""

from __future__ import annotations

import os

from envc.cli.output import COLOUR_CHOICES, choose_colours
from envc.cli.verbs import VERBS
from envc.errors import UsageError


def takes_any(args: list[str]) -> bool:
    """Whether `take` would change the command line or the process."""
    return bool(args) and (args[0] not in VERBS or any(word.startswith("--color") for word in args))


def take(args: list[str]) -> list[str]:
    """The command line without the options of every command, which take effect. Raises UsageError.

    As in git, ``-C`` stands before the verb and may be repeated, each relative to the one before. As in cargo,
    ``--color`` stands anywhere before ``--``. ``-v`` means ``--version``, as in git.
    """
    end = args.index("--") if "--" in args else len(args)
    left: list[str] = []
    words = iter(args[:end])
    for word in words:
        is_first = not left
        if word == "--color" or word.startswith("--color="):
            _set_colours(word.partition("=")[2] if "=" in word else next(words, ""))
        elif is_first and word.startswith("-C"):
            _change_folder(word[2:] or next(words, ""))
        else:
            left.append("--version" if is_first and word in ("-V", "-v") else word)
    if left[:1] == ["help"]:
        left = [*left[1:], "--help"]
    return [*left, *args[end:]]


def _set_colours(choice: str) -> None:
    if choice not in COLOUR_CHOICES:
        raise UsageError(f"--color: {choice!r} is none of {', '.join(COLOUR_CHOICES)}", "write --color=never")
    choose_colours(choice)


def _change_folder(folder: str) -> None:
    if not folder:
        raise UsageError("-C names no folder", "write -C DIR before the command")
    try:
        os.chdir(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"-C {folder}: {reason}", "name a folder of this machine") from None
