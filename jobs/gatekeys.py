"""What the gates of a fleet keep in Redis, and tell each other: names of keys, and notices.

    tokenyard:limits:{<key>}                        hash, the window of a provider key: workers/lua/admit.lua
    tokenyard:limits:{<key>}:slots                  sorted set, its calls in flight: workers/lua/admit.lua
    tokenyard:limits:{<key>}:model:<model>          hash, the window of one model of it: workers/lua/admit.lua
    tokenyard:limits:{<key>}:model:<model>:slots    sorted set, its calls in flight: workers/lua/admit.lua
    tokenyard:limits:{<key>}:models                 set, the models of the key that have a window of their own
    tokenyard:closings:{<key>}                      hash, model (or * for the whole key) -> the latest notice of its
                                                    closing, and the probe that is out: workers/lua/closing.lua
    tokenyard:trouble:{<key>}                       hash, what the provider has against the key: workers/lua/trouble.lua
    tokenyard:{breakers}:<subject>                  hash, a breaker: workers/lua/breaker.lua
    tokenyard:{breakers}                            sorted set, every breaker's subject -> when something was last
                                                    reported (s)
    tokenyard:{breakers}:tripped                    hash, subject of each open or half-open breaker -> its latest notice

`<key>` is `<provider>/<index>`, `<model>` its name at the provider, `<subject>` is `provider:<provider>` or
`deployment:<deployment>`, names percent-encoded, so that no two meet whatever a person calls a provider. Braces keep
the names of a key on one node of a cluster. Times are seconds of the Redis server's clock. Everything expires by
itself, after the time its script names. Workers write, through the scripts; `jobs.health` reads.
"""

from typing import Literal
from urllib.parse import quote, unquote

import msgspec

from jobs.failures import FailureKind

CHANNEL = "tokenyard:gate"
"""Where notices are published."""
KNOWN = "tokenyard:{breakers}"
TRIPPED = "tokenyard:{breakers}:tripped"
WHOLE = "*"
"""Stands for the whole key among its models; an encoded name has no asterisk."""
Kind = Literal["provider", "deployment"]


def key_text(provider: str, key_index: int) -> str:
    """A provider's key, by its place in the settings.

    >>> key_text("ac/me", 0)
    'ac%2Fme/0'
    """
    return f"{quote(provider, safe='')}/{key_index}"


def model_text(model: str) -> str:
    """A model by its name at the provider; empty: the whole key.

    >>> model_text("maker/small"), model_text("")
    ('maker%2Fsmall', '*')
    """
    return quote(model, safe="") if model else WHOLE


def model_name(text: str) -> str:
    """The name that `model_text` encoded."""
    return "" if text == WHOLE else unquote(text)


def limits_key(key: str, model: str = "") -> str:
    """The window of a key (its `key_text`), or of one of its models (by name)."""
    return f"tokenyard:limits:{{{key}}}" + (f":model:{model_text(model)}" if model else "")


def slots_key(key: str, model: str = "") -> str:
    """The calls in flight of a key (its `key_text`), or of one of its models (by name)."""
    return f"{limits_key(key, model)}:slots"


def models_key(key: str) -> str:
    """The models of a key (its `key_text`) that have windows of their own."""
    return f"tokenyard:limits:{{{key}}}:models"


def closings_key(key: str) -> str:
    """The closings of a key (its `key_text`)."""
    return f"tokenyard:closings:{{{key}}}"


def trouble_key(key: str) -> str:
    """The trouble of a key (its `key_text`)."""
    return f"tokenyard:trouble:{{{key}}}"


def subject_of(kind: Kind, name: str) -> str:
    """Whose breaker it is.

    >>> subject_of("deployment", "maker/name@acme")
    'deployment:maker%2Fname%40acme'
    """
    return f"{kind}:{quote(name, safe='')}"


def subject_name(subject: str) -> tuple[str, str]:
    """(kind, name) of a subject."""
    kind, _, name = subject.partition(":")
    return kind, unquote(name)


def breaker_key(subject: str) -> str:
    """The state of a breaker."""
    return f"tokenyard:{{breakers}}:{subject}"


class _Notice(msgspec.Struct, frozen=True, tag_field="about"):
    """Base of every notice. Numbers come as text, so that none loses a digit on its way through Lua."""

    subject: str
    """A breaker's subject, or a key's text."""
    at_s: float
    """When it was so."""


class BreakerNotice(_Notice, frozen=True, tag="breaker"):
    """A breaker opened or closed."""

    is_tripped: bool
    until_s: float
    trips: int
    since_s: float


class ClosingNotice(_Notice, frozen=True, tag="closing"):
    """A model of a key, or the whole key, is closed, or open again (`kind` None)."""

    model: str
    """`model_text`."""
    print: str
    strikes: int = 0
    since_s: float = 0.0
    until_s: float = 0.0
    try_at_s: float = 0.0
    kind: FailureKind | None = None


class TroubleNotice(_Notice, frozen=True, tag="trouble"):
    """A key was refused, or works again (`strikes` 0)."""

    print: str
    strikes: int
    since_s: float
    until_s: float
    kind: FailureKind | None = None


Notice = BreakerNotice | ClosingNotice | TroubleNotice
_decoder: msgspec.json.Decoder[Notice] = msgspec.json.Decoder(Notice, strict=False)


def read_notice(raw: bytes) -> Notice | None:
    """The notice in a message; None for what another version of this program says."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return None
