"""The command line of a step: words for one program, or a text for a shell.

A command line is read as words unless the step says ``shell = true``. It is quoted as in a POSIX shell. What such a
shell would do with unquoted text (POSIX.1-2024, Shell Command Language, sections 2.2 to 2.10) is refused, because a
program that gets ``|`` or ``$HOME`` as an argument does something else than its author meant, often without failing.
"""

from __future__ import annotations

import os

# A text without any of these is plain: the words between its blanks. "=" matters in the first word alone.
_SPECIAL = frozenset("|&;<>()$`\\\"'*?[~#\n\r")
_OPERATORS = "|&;<>()"
_AFTER_DOLLAR = "{(?!#@*$-_"  # besides letters and digits: what `$` is expanded before
_LINE_END = "the line end"
_WAYS_OUT = 'write shell = true in the step to run it with a shell, quote it, or write a list of words: ["python", …]'


class BadCommandLine(ValueError):
    """A command line that is not the words of one program. Its text is the reason."""

    def __init__(self, reason: str, suggestion: str = _WAYS_OUT) -> None:
        super().__init__(reason)
        self.suggestion = suggestion


def read_words(text: str) -> tuple[str, ...]:
    """The program and the arguments of a command line that no shell runs. Raises BadCommandLine."""
    if _SPECIAL.isdisjoint(text):
        words = tuple(word for word in text.replace("\t", " ").split(" ") if word)
    else:
        text = text.strip(" \t\r\n")
        found = _shell_syntax(text)
        if found is not None:
            fate = "would be read as a blank" if found == _LINE_END else "would be passed on as it is"
            raise BadCommandLine(f"{found} {fate}, because no shell runs this command line")
        import shlex

        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise BadCommandLine(f"cannot be read: {error}".lower(), "close the quotation, or write a list") from None
    if not words or not words[0]:
        raise BadCommandLine("is empty", "leave it out if the step runs nothing")
    name, equals, _ = words[0].partition("=")
    if equals and name.isidentifier():
        raise BadCommandLine(
            f"{name}= would be taken for the program, because no shell runs this command line",
            f'write env = {{ {name} = "…" }} in the step, or shell = true',
        )
    return words


def join_words(words: tuple[str, ...]) -> str:
    """The command line that `read_words` reads as these words."""
    import shlex

    return shlex.join(words)


def shell_words(text: str) -> tuple[str, ...]:
    """The command that runs a text with the shell of this system: ``/bin/sh``, or ``cmd`` on Windows.

    The words of cmd must be joined with blanks and without quoting: it removes the first and the last quotation mark
    after ``/s /c``, and reads the rest as written.
    """
    if os.name == "nt":
        return (os.environ.get("COMSPEC", "cmd.exe"), "/d", "/s", "/c", f'"{text}"')
    return ("/bin/sh", "-c", text)


def _shell_syntax(text: str) -> str | None:
    """The first part of a text that a POSIX shell would not read as a plain word or a part of one, as a message calls
    it.
    """
    index, starts_word = 0, True
    while index < len(text):
        letter = text[index]
        end = index + 1
        if letter == "'":
            end = text.find("'", end) + 1 or len(text)
        elif letter == '"':
            while end < len(text) and text[end] != '"':
                found = _expansion(text, end)
                if found is not None:
                    return found
                if text[end] == "\\" and text[end + 1 : end + 2] in ("$", "`"):
                    return f"the backslash before {text[end + 1]}"  # removed by shells, kept by shlex
                end += 2 if text[end] == "\\" else 1
            end += 1
        elif letter == "\\":
            if text[end : end + 1] in ("\n", "\r"):
                return "the line continuation \\"
            end += 1
        elif letter in _OPERATORS:
            while end < len(text) and text[end] in _OPERATORS:
                end += 1
            return f"the shell operator {text[index:end]}"
        elif letter in "\n\r":
            return _LINE_END
        elif letter in "*?" or (letter == "[" and _closes(text, end)):
            return f"the file pattern {_word_at(text, index)}"
        elif letter == "~" and starts_word:
            return f"the home folder {_word_at(text, index)}"
        elif letter == "#" and starts_word:
            return f"the comment {_word_at(text, index)}"
        elif (found := _expansion(text, index)) is not None:
            return found
        starts_word = letter in " \t"
        index = end
    return None


def _expansion(text: str, index: int) -> str | None:
    """The variable or command that a shell would replace at this place, also between double quotes."""
    if text[index] == "`":
        return "the command substitution `"
    following = text[index + 1 : index + 2]
    if text[index] != "$" or not following or not (following.isalnum() or following in _AFTER_DOLLAR):
        return None
    if following == "(":
        return "the command substitution $("
    end = index + 2
    if following == "{":
        end = text.find("}", end) + 1 or len(text)
    else:
        while following.isidentifier() and (text[end : end + 1] or "-").replace("_", "a").isalnum():
            end += 1
    return f"the variable {text[index:end]}"


def _closes(text: str, start: int) -> bool:
    """Whether a bracket that opens before `start` is closed in the same word."""
    for letter in text[start:]:
        if letter == "]":
            return True
        if letter in " \t\n":
            return False
    return False


def _word_at(text: str, index: int) -> str:
    """The word around a place, as written."""
    before = max(text.rfind(blank, 0, index) for blank in " \t\n") + 1
    return text[before:].split(maxsplit=1)[0]
