"""Tool names that a wire does not take, escaped so that the answer's names can be turned back without any memory."""

import re

MARK = "tyx_"
"""Begins an escaped name. A caller's own name that begins so is escaped as well, so nothing is ambiguous."""

_ODD = re.compile(r"[^A-Za-z0-9-]")
_ESCAPE = re.compile(r"_([0-9a-f]{1,6})_")


def escaped(name: str, allowed: re.Pattern[str]) -> str | None:
    """The name as `allowed` takes it: itself, or escaped; None when even that does not fit (too long).

    >>> escaped("files.read", re.compile(r"[a-zA-Z0-9_-]{1,128}"))
    'tyx_files_2e_read'
    """
    if allowed.fullmatch(name) and not name.startswith(MARK):
        return name
    wire = MARK + _ODD.sub(lambda found: f"_{ord(found[0]):x}_", name)
    return wire if allowed.fullmatch(wire) else None


def unescaped(wire: str) -> str:
    """The caller's name again; a name that was never escaped, or that the model made up, stays as it is.

    >>> unescaped("tyx_files_2e_read")
    'files.read'
    """
    if not wire.startswith(MARK):
        return wire
    try:
        return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), wire[len(MARK) :])
    except (ValueError, OverflowError):  # no code point: the model's own invention
        return wire
