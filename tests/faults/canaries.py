"""Canaries: words that stand nowhere else, and a search for them that knows how bytes are written down."""

import base64
import secrets
from collections.abc import Iterable
from itertools import pairwise

LETTERS = "abcdefghjkmnpqrstvwxyz23456789"
HALF = 10
"""A half is looked for, too: libraries like to show the beginning or the end of a key. 30**10 are enough."""


def canary(name: str) -> str:
    """A fresh word with many digits, as keys and card numbers have; its name tells which one sang."""
    return name + "".join(f"{secrets.choice(LETTERS)}{secrets.randbelow(10)}" for _ in range(HALF))


def spellings(word: str) -> set[bytes]:
    """How a word looks as it is, in hex and in base64 wherever it begins."""
    raw = word.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + raw)
        first, last = -(-offset * 8 // 6), (offset + len(raw)) * 8 // 6
        found.add(coded[first:last])
    return found


class Flock:
    """The canaries of a test by their names."""

    def __init__(self, words: dict[str, str]) -> None:
        self._spellings = {
            name: set().union(*(spellings(part) for part in (word[-2 * HALF :][:HALF], word[-HALF:])))
            for name, word in words.items()
        }

    def heard(self, place: str, haystack: bytes, allowed: Iterable[str] = ()) -> list[str]:
        """`place: canary, with what stands around it` for each one found that may not be there."""
        return [
            f"{place}: {name} in {_around(haystack, spelling)!r}"
            for name, every in self._spellings.items()
            if name not in set(allowed)
            for spelling in every
            if spelling in haystack
        ]

    def stands_in(self, name: str, haystack: bytes) -> bool:
        """Whether the search would find this one here: a search that finds nothing anywhere proves nothing."""
        return any(spelling in haystack for spelling in self._spellings[name])


def _around(haystack: bytes, found: bytes) -> bytes:
    at = haystack.index(found)
    ends = [at - 300, at + 200]
    return next(haystack[max(0, first) : last] for first, last in pairwise(ends))
