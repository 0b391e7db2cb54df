"""Tells what kind of text a prompt mostly is: code, JSON, a script, or one of ten languages in Latin letters."""

from collections.abc import Mapping, Sequence

CLASSES: Mapping[str, bytes] = {
    "lower": bytes(range(97, 123)),
    "upper": bytes(range(65, 91)),
    "digit": b"0123456789",
    "blank": b" \t",
    "line": b"\n\r",
    "stop": b".,'-",
    "quote": b'":',
    "bracket": b"()[]{}<>",
    "sign": b"!#$%&*+/;=?@\\^_`|~",
    "latin": bytes(range(0xC3, 0xCE)),
    "greek": b"\xce\xcf",
    "cyrillic": bytes(range(0xD0, 0xD4)),
    "hebrew": bytes(range(0xD4, 0xD8)),
    "arabic": bytes(range(0xD8, 0xE0)),
    "indic": b"\xe0",
    "more": b"\xe1",
    "mark": b"\xc2\xe2",
    "kana": b"\xe3",
    "han": bytes(range(0xE4, 0xEA)),
    "hangul": bytes(range(0xEA, 0xEF)),
    "wide": bytes(range(0xEF, 0xF8)),
}
"""Bytes of UTF-8 by what they begin: ASCII by its use, longer characters by the first byte, which tells the script.

`latin` has accents and combining marks; `more` Vietnamese, Georgian, Ethiopic and others; `mark` dashes and quotation
marks; `wide` full-width forms and emoji.
"""
CODES: tuple[bytes, ...] = tuple(bytes([code]) for code in range(1, len(CLASSES) + 1))
"""The byte that stands for each class in a classed text."""
ASCII_CODES = CODES[:9]
_PLACE = {name: place for place, name in enumerate(CLASSES)}
_OF_BYTE = {byte: place + 1 for place, members in enumerate(CLASSES.values()) for byte in members}
TABLE = bytes(_OF_BYTE.get(byte, 0) for byte in range(256))
"""For bytes.translate: each byte becomes its class's code, 0 for the rest."""

SCRIPTS = ("greek", "cyrillic", "hebrew", "arabic", "indic", "kana", "han", "hangul")
_SCRIPTS = tuple(_PLACE[name] for name in SCRIPTS)
_LOWER, _UPPER, _QUOTE, _BRACKET, _SIGN = (_PLACE[name] for name in ("lower", "upper", "quote", "bracket", "sign"))
_KANA, _HAN, _MORE = (_PLACE[name] for name in ("kana", "han", "more"))

SAMPLE_BYTES = 1_000
"""So much from the middle of a text tells its language."""
LANGUAGES: Mapping[str, frozenset[bytes]] = {
    name: frozenset(word.encode() for word in words.split())
    for name, words in {
        "english": "the and of to is for that with this in",
        "german": "der die und das den mit nicht ist auf zu von",
        "french": "le les des et est une dans que du sur",
        "spanish": "el los las y una por con para del su",
        "italian": "il di che gli della per non una del le",
        "portuguese": "os do da em uma não com para dos ao",
        "dutch": "het een van de en niet zijn op voor met",
        "polish": "w i z na się do nie jest oraz przez",
        "turkish": "ve bir bu için her olan ile da veya kadar",
        "vietnamese": "và của các có được không người trong cho",
    }.items()
}
"""Their commonest short words. One language taken for its neighbour costs a little precision, no more."""
KINDS = (*SCRIPTS, "thai", "ukrainian", "code", "json", "latin", *LANGUAGES)


def kind_of(raw: bytes, found: Sequence[int]) -> str:
    """One of KINDS for a text in UTF-8, given its bytes by class. Never raises."""
    letters = found[_LOWER] + found[_UPPER]
    script = max(_SCRIPTS, key=found.__getitem__)
    if found[script] * 3 > letters:
        return _of_script(raw, found, script)
    signs = found[_BRACKET] + found[_SIGN] + found[_QUOTE]
    if signs * 12 > len(raw):
        return "json" if found[_QUOTE] * 2 > signs else "code"
    start = max(0, (len(raw) - SAMPLE_BYTES) // 2)
    words = set(raw[start : start + SAMPLE_BYTES].split())
    hits, name = max((len(words & common), name) for name, common in LANGUAGES.items())
    return name if hits > 1 else "latin"


def _of_script(raw: bytes, found: Sequence[int], script: int) -> str:
    name = tuple(CLASSES)[script]
    if name == "han" and found[_KANA] * 10 > found[_HAN]:
        return "kana"
    if name == "cyrillic" and b"\xd1\x96" in raw:
        return "ukrainian"
    if name == "indic" and raw.count(b"\xe0\xb8") * 2 > found[script]:
        return "thai"
    return name
