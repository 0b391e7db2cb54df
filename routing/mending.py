"""Mends text that is nearly JSON, and only so that nothing of it is lost: what can't be mended so is a `Fault`.

What is mended stands in docs/answers.md: it is punctuation (quotes, commas, brackets at the end, escapes), the spelling
of true, false and null, and text around one value. Every key, string, number and literal of the text is in what comes
out, in its order; none is made up, completed or converted. One pass from left to right, without recursion: the time is
linear in the text.
"""

import json
import re
from enum import StrEnum

import msgspec

MOST_DEPTH = 500
"""Brackets within brackets; JSON readers give up at about 1,000."""


class Fault(StrEnum):
    """Why text is no JSON value, in words that repeat nothing of it."""

    NOTHING = "it is not JSON"
    SEVERAL = "more than one JSON value, or a piece of another one, stands in it"
    CUT = "its JSON ends in the middle of a value"
    BROKEN = "its JSON is broken, and can't be mended without a guess"
    REPEATED = "a key stands twice in one object, with different values"
    TOO_DEEP = "its JSON is nested too deeply"

    @property
    def told(self) -> str:
        """The same as a sentence, for the model."""
        return f"{self[0].upper()}{self[1:]}."


class _Unmendable(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


_BRACKET = re.compile(r"[{}\[\]]")
_KEY = re.compile(r'"\s*:')
_STRAY = re.compile(r"[\s}\]]*")
_GOES_ON = re.compile(r"""\s*[,:]\s*(?:["'\[{0-9-]|(?:true|false|null|none)\b|[\w$]+\s*:)""", re.IGNORECASE)
_ASIDE = re.compile(r"""\[[^\[\]{}"'0-9:,]*\]|\{[^\[\]{}"'0-9:,]*\}""")
_OPENING = re.compile(rf"""{_ASIDE.pattern}|[\[{{]""")
"""A bracket that may open a value, or a whole aside."""
_SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/|#[^\n]*)*+", re.DOTALL)
_SAYS_MORE = re.compile(r"""["'{}\[\]]""")
"""Of a comment: it may hold a part of the answer."""


def mend(text: str) -> str | Fault:
    r"""The one JSON object or array of a text, as JSON; a Fault where there is none, or not just one.

    >>> mend("Here it is: {'city': 'Oslo',}")
    '{"city":"Oslo"}'
    >>> mend('{"city": "Riga"}{"city": "Oslo"}')
    <Fault.SEVERAL: 'more than one JSON value, or a piece of another one, stands in it'>
    """
    start = next((found.start() for found in _OPENING.finditer(text) if not _is_aside(found[0])), None)
    if start is None:
        return Fault.NOTHING
    try:
        mended, end = _Reader(text, start).read()
    except _Unmendable as unmendable:
        return unmendable.fault
    rest = text[end + len(_STRAY.match(text, end)[0]) :]  # type: ignore[index] # it matches nothing, too
    around = [_ASIDE.sub(lambda found: "" if _is_aside(found[0]) else found[0], part) for part in (text[:start], rest)]
    is_alone = not any(_BRACKET.search(part) or _KEY.search(part) for part in around)
    return mended if is_alone and not _GOES_ON.match(rest) else Fault.SEVERAL


def _is_aside(text: str) -> bool:
    """Whether brackets hold words and nothing that JSON could be: `[as requested]`, `{name}`, `[x]`."""
    words = text[1:-1].strip().lower()
    return len(text) > 1 and any(map(str.isalpha, words)) and words not in _NO_WORDS


def repeats_a_key(text: str) -> bool:
    """Whether an object of a JSON text has a key twice, with values that differ. Raises RecursionError."""
    try:
        json.loads(text, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except _Unmendable:
        pass
    else:
        return False
    try:
        json.loads(text, object_pairs_hook=_alike, parse_int=_number, parse_float=_number)
    except _Unmendable:
        return True
    return False


def _once(pairs: list[tuple[str, object]]) -> None:
    if len(pairs) > 1 and len(dict(pairs)) != len(pairs):
        raise _Unmendable(Fault.REPEATED)


def _alike(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if any(found[key] != value for key, value in pairs):
        raise _Unmendable(Fault.REPEATED)
    return found


def _number(text: str) -> tuple[str]:
    """A number as it is written, which equals no string and no other number."""
    return (text,)


_OPENERS, _CLOSERS = {"{": "}", "[": "]"}, {"}": "{", "]": "["}
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}
_PLAIN = {close: re.compile(rf'[^{close}"\\\x00-\x1f]+') for close in _QUOTES.values()}
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_AFTER_STRING = re.compile(r"(\s*)(.?)", re.DOTALL)
_LITERALS = {"true": "true", "false": "false", "null": "null", "none": "null"}
_NO_WORDS = frozenset({*_LITERALS, "nan", "infinity", "undefined"})
_WORD = re.compile(r"[A-Za-z]+(?![\w$-])")
_BARE_KEY = re.compile(r"[A-Za-z_$][\w$-]*", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?=[\s,\]}/#]|\Z)")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class _State(StrEnum):
    """What the bracket that was opened last waits for."""

    FIRST = "a first element, or its end"
    NEXT = "another element after a comma, or its end"
    COLON = "the colon behind a key"
    VALUE = "the value of a key"
    DONE = "a comma, or its end"


class _Frame(msgspec.Struct):
    """A bracket that is open."""

    opener: str
    state: _State = _State.FIRST


class _Reader:
    """Reads one value from a place on. `out` is what it says, as JSON."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self._at = at
        self._out: list[str] = []
        self._frames: list[_Frame] = []
        self._is_after_number = False

    def read(self) -> tuple[str, int]:
        """The value as JSON, and where it ends. Raises _Unmendable."""
        self._open(self._text[self._at])
        while self._frames:
            is_apart = self._skip()
            char = self._text[self._at : self._at + 1]
            if not char:
                self._end(is_apart=is_apart)
            elif char in _CLOSERS:
                self._close(_CLOSERS[char])
            else:
                self._step(char)
        return "".join(self._out), self._at

    def _skip(self) -> bool:
        """Go on behind white space and comments; whether there were any."""
        found = _SPACE.match(self._text, self._at)
        assert found is not None  # it matches nothing, too
        skipped = found[0]
        if ("/" in skipped or "#" in skipped) and _SAYS_MORE.search(skipped):
            raise _Unmendable(Fault.BROKEN)
        self._at = found.end()
        return bool(skipped)

    def _step(self, char: str) -> None:
        frame = self._frames[-1]
        is_object = frame.opener == "{"
        if frame.state is _State.DONE:
            self._part(frame, char)
        elif frame.state is _State.COLON:
            if char != ":":
                raise _Unmendable(Fault.BROKEN)
            self._take(char, 1)
            frame.state = _State.VALUE
        elif is_object and frame.state is not _State.VALUE:
            self._key(char)
            frame.state = _State.COLON
        else:
            frame.state = _State.DONE
            self._value(char)

    def _part(self, frame: _Frame, char: str) -> None:
        """Between two elements: a comma, or the place where one is missing."""
        if char == ",":
            self._at += 1
        elif self._is_after_number and (char in "+-." or char.isdigit()):
            raise _Unmendable(Fault.BROKEN)  # `10 000` may be one number
        self._is_after_number = False
        frame.state = _State.NEXT

    def _key(self, char: str) -> None:
        if char in _QUOTES:
            self._comma()
            self._string(_QUOTES[char])
            return
        bare = _BARE_KEY.match(self._text, self._at)
        if bare is None:
            raise _Unmendable(Fault.BROKEN)
        self._comma()
        self._take(f'"{bare[0]}"', len(bare[0]))

    def _value(self, char: str) -> None:
        if self._out[-1] != ":":
            self._comma()
        if char in _OPENERS:
            self._open(char)
        elif char in _QUOTES:
            self._string(_QUOTES[char])
        elif char in "+-." or char.isdigit():
            self._number()
        else:
            word = _WORD.match(self._text, self._at)
            literal = _LITERALS.get(word[0].lower()) if word else None
            if word is None or literal is None:
                raise _Unmendable(Fault.BROKEN)
            self._take(literal, len(word[0]))

    def _comma(self) -> None:
        if self._out[-1] not in _OPENERS:
            self._out.append(",")

    def _take(self, said: str, length: int) -> None:
        self._out.append(said)
        self._at += length

    def _open(self, opener: str) -> None:
        if len(self._frames) >= MOST_DEPTH:
            raise _Unmendable(Fault.TOO_DEEP)
        self._frames.append(_Frame(opener))
        self._take(opener, 1)

    def _close(self, opener: str) -> None:
        """Close the last bracket, and those within it whose own end is missing."""
        frame = self._frames[-1]
        is_own = frame.opener == opener
        if frame.state not in ((_State.FIRST, _State.NEXT, _State.DONE) if is_own else (_State.DONE,)):
            raise _Unmendable(Fault.BROKEN)
        self._is_after_number = False
        while self._frames:
            frame = self._frames.pop()
            self._out.append(_OPENERS[frame.opener])
            if frame.opener == opener:
                self._at += 1
                return
        raise _Unmendable(Fault.BROKEN)

    def _end(self, *, is_apart: bool) -> None:
        """The text is over: only brackets may be missing. A number that ends with it may have been cut."""
        if self._frames[-1].state is not _State.DONE or (self._is_after_number and not is_apart):
            raise _Unmendable(Fault.CUT)
        self._out += [_OPENERS[frame.opener] for frame in reversed(self._frames)]
        self._frames = []

    def _number(self) -> None:
        found = _NUMBER.match(self._text, self._at)
        if found is None:
            raise _Unmendable(Fault.CUT if self._text[self._at :] in ("-", "+", ".") else Fault.BROKEN)
        number = found[0]
        if not _JSON_NUMBER.fullmatch(number):  # `+1`, `.5`, `5.` may be no JSON, but can't be anything else
            number = re.sub(r"\.(?![0-9])", ".0", re.sub(r"^(-?)\.", r"\g<1>0.", number.removeprefix("+")))
        if not _JSON_NUMBER.fullmatch(number):
            raise _Unmendable(Fault.BROKEN)  # `007`: dropping the noughts would be a guess
        self._take(number, len(found[0]))
        self._is_after_number = True

    def _string(self, close: str) -> None:
        """A string in any quotes. Quotes in it that are not escaped stay, where nothing else could be meant."""
        said, at, text = ['"'], self._at + 1, self._text
        has_inner = has_bracket = False
        while True:
            plain = _PLAIN[close].match(text, at)
            if plain is not None:
                said.append(plain[0])
                at = plain.end()
                has_bracket = has_bracket or _BRACKET.search(plain[0]) is not None
            char = text[at : at + 1]
            if not char:
                raise _Unmendable(Fault.CUT)
            if char == close:
                if _closes(text, at + 1):
                    break
                has_inner = True
            if has_inner and has_bracket:
                raise _Unmendable(Fault.BROKEN)  # the bracket may be the end of what the string stands in
            shown, length = _escaped(text, at, char)
            said.append(shown)
            at += length
        said.append('"')
        self._out.append("".join(said))
        self._at = at + 1


def _closes(text: str, at: int) -> bool:
    """Whether a quote that stands before `at` ends its string: what follows says so. Raises _Unmendable in doubt."""
    found = _AFTER_STRING.match(text, at)
    assert found is not None  # it matches nothing, too
    space, char = found[1], found[2]
    if char in _QUOTES:
        if not space:
            raise _Unmendable(Fault.BROKEN)  # `""` may be an end, or a quote that is doubled
        return True
    return char in ",:]}#" or text.startswith(("//", "/*"), found.start(2))


def _escaped(text: str, at: int, char: str) -> tuple[str, int]:
    """A character that a JSON string can't hold as it is, and how many of the text it stands for."""
    if char != "\\":
        return json.dumps(char, ensure_ascii=False)[1:-1], 1
    known = _ESCAPE.match(text, at)
    if known is not None:
        return known[0], len(known[0])
    following = text[at + 1 : at + 2]
    if not following:
        raise _Unmendable(Fault.CUT)
    return (following, 2) if following in "'\u2018\u2019\u201c\u201d" else ("\\\\", 1)
