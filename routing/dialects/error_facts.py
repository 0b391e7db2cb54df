"""How what a provider says in an error is looked up: rows of facts by code, then by the beginning of its message.

A row names the words that mean it, or a phrase; where it holds (accents, statuses); and its source. The rows themselves
stand in `error_words` and `error_phrases`.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from jobs.failures import FailureKind, Scope

LONGEST_PHRASE = 300
"""Of a message so many characters are looked at."""

_WRAPPING = re.compile(
    r"(?:error code: \d{3} - |error \d{3}: |<\d{3}> ?|\[?\d{3,4}[\]:]?[ \[]|internalerror\.algo\.|invalidparameter: |"
    r"litellm\.[a-z]{1,40}: |[a-z]{1,40}exception(?:: | - )|[a-z]{1,20}error: |invalid request: |"
    r"input validation error: |provider returned error: |"
    r"b?['\"]?\{\"(?:type|error|message)\".{0,200}?\"message\": ?\"){0,6}"
)
"""What gateways put in front of a provider's own words."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What a word or a phrase means."""

    kind: FailureKind
    source: str
    """The provider's page, an SDK's type, a bug report as owner/repo#number, or recorded traffic."""
    words: tuple[str, ...] = ()
    """Codes, types or status words; in lower case, with `_` for `-`. `param:` goes before the name of a field."""
    phrases: tuple[str, ...] = ()
    """Patterns (`re`) of how a message begins, in lower case; only for replies of 4xx, and only where no code tells."""
    statuses: frozenset[int] = frozenset()
    """Empty: any."""
    accents: frozenset[str] = frozenset()
    """Whose word it is; empty: whoever says it. A provider of unknown accent may be any of them."""
    scope: Scope | None = None
    """None: as the kind and the status say."""
    is_broad: bool = False
    """The word covers more than one cause, so a phrase goes before it."""


class Sign(msgspec.Struct, frozen=True):
    """What an error reply says, as far as it can be looked up."""

    status: int
    """HTTP status; 200 for an error in a reply of status 200 that names none."""
    words: tuple[str, ...] = ()
    """Most specific first."""
    message: str = ""
    accent: str = ""
    """Empty: unknown."""


class Facts:
    """Rows by word and by phrase. The first that fits counts: the accent's own rows first."""

    def __init__(self, rows: Iterable[Fact]) -> None:
        self.rows = tuple(rows)
        self._by_word: dict[str, list[Fact]] = {}
        for row in self.rows:
            for word in row.words:
                self._by_word.setdefault(word, []).append(row)
        self._phrases = [(re.compile("|".join(row.phrases)), row) for row in self.rows if row.phrases]

    def meaning(self, sign: Sign) -> Fact | None:
        """What the error means; None when no row fits: then its status alone counts."""
        known = [row for word in sign.words if (row := self._word(word, sign)) is not None]
        exact = next((row for row in known if not row.is_broad), None)
        if exact is not None:
            return exact
        is_refusal = 400 <= sign.status < 500 or (sign.status == 200 and bool(known))
        phrase = self._phrase(sign) if is_refusal else None
        return phrase or next(iter(known), None)

    def _word(self, word: str, sign: Sign) -> Fact | None:
        return _best(self._by_word.get(word.lower().replace("-", "_"), ()), sign)

    def _phrase(self, sign: Sign) -> Fact | None:
        text = sign.message[:LONGEST_PHRASE].lower().strip()
        bare = text[wrapped.end() :] if (wrapped := _WRAPPING.match(text)) else text
        return _best(self._matching(text, bare), sign)

    def _matching(self, *texts: str) -> Iterator[Fact]:
        return (row for pattern, row in self._phrases if any(pattern.match(text) for text in texts))


def _best(rows: Iterable[Fact], sign: Sign) -> Fact | None:
    """Of the rows that hold at this status: the accent's own, else everybody's, else anybody's if it is unknown."""
    fitting = [row for row in rows if not row.statuses or sign.status in row.statuses]
    own = [row for row in fitting if sign.accent in row.accents]
    common = [row for row in fitting if not row.accents]
    foreign = [row for row in fitting if not sign.accent]
    return next(iter([*own, *common, *foreign]), None)
