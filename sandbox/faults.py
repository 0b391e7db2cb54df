"""Faults scripted while the provider runs: which there are, when they strike, how often they have."""

import random
from typing import Any, Literal, get_args

import msgspec

FaultKind = Literal[
    "status",
    "latency",
    "silence",
    "cut",
    "wrong_usage",
    "empty",
    "malformed",
    "in_band_error",
    "bad_json",
    "bad_arguments",
    "off",
]


class InvalidFault(ValueError):
    """The script is wrong; the message says where."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One scripted fault. The first of the list that strikes applies; `latency` adds to whatever else strikes."""

    kind: FaultKind
    times: int | None = None
    """Strike so often, then never again; None is without end."""
    probability: float = 1.0
    """Chance to strike at each call that it could."""
    for_s: float | None = None
    """Live so long after it was posted."""
    model: str | None = None
    """Only calls for this model; not with `off`, which reads no request."""
    status: int = 503
    code: str | None = None
    retry_after_s: float | None = None
    """`status`: sent as Retry-After."""
    add_ms: float = 1000.0
    """`latency`: on top of the usual."""
    after_chunks: int = 1
    """`cut` and `in_band_error` of a stream: so many chunks are sent first. A whole body is cut in its middle."""
    usage: Literal["absent", "negative", "doubled"] = "absent"
    """`wrong_usage`: what the reply says; the log keeps the true figures."""
    breaks: Literal["schema", "syntax"] = "schema"
    """`bad_json` spoils an answer that was asked for in a schema, `bad_arguments` those of tool calls: either they are
    JSON that their schema forbids, or their last character is missing. Where arguments travel as an object (Gemini's
    wire, whole messages of Anthropic's) only the schema can be broken. Other replies stay as they are."""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /_sandbox/faults; its faults are added to those that are there."""

    faults: list[Fault]


class _Armed:
    def __init__(self, fault: Fault, until_s: float | None) -> None:
        self.fault = fault
        self.until_s = until_s
        self.struck = 0

    def is_live(self, now_s: float) -> bool:
        spent = self.fault.times is not None and self.struck >= self.fault.times
        return not spent and (self.until_s is None or now_s < self.until_s)


class FaultScript:
    """The faults in force. The clock is an argument (monotonic seconds), chance is seeded."""

    def __init__(self, seed: int = 0) -> None:
        self._armed: list[_Armed] = []
        self._chance = random.Random(seed)  # noqa: S311 - faults need repeatable chance, not secrecy

    def add(self, raw: bytes, now_s: float) -> None:
        """Arm what the body says. Raises InvalidFault, and arms nothing then."""
        try:
            script = msgspec.json.decode(raw, type=Script)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidFault(f"faults: {error}; kinds are {', '.join(get_args(FaultKind))}") from error
        for fault in script.faults:
            _check(fault)
        for fault in script.faults:
            self._armed.append(_Armed(fault, None if fault.for_s is None else now_s + fault.for_s))

    def clear(self) -> None:
        """Disarm all."""
        self._armed.clear()

    def listing(self, now_s: float) -> list[dict[str, Any]]:
        """Every fault with how often it struck and whether it still can."""
        return [
            {**msgspec.to_builtins(armed.fault), "struck": armed.struck, "live": armed.is_live(now_s)}
            for armed in self._armed
        ]

    def refuses(self, now_s: float) -> bool:
        """Whether this connection is to be closed at once (`off`)."""
        return any(self._strikes(armed, now_s) for armed in self._armed if armed.fault.kind == "off")

    def draw(self, model: str, now_s: float) -> list[Fault]:
        """What strikes this call: every `latency`, and at most one of the others."""
        found: list[Fault] = []
        is_hit = False
        for armed in self._armed:
            kind = armed.fault.kind
            if kind == "off" or (is_hit and kind != "latency") or armed.fault.model not in {None, model}:
                continue
            if self._strikes(armed, now_s):
                found.append(armed.fault)
                is_hit = is_hit or kind != "latency"
        return found

    def _strikes(self, armed: _Armed, now_s: float) -> bool:
        if not armed.is_live(now_s) or self._chance.random() >= armed.fault.probability:
            return False
        armed.struck += 1
        return True


def _check(fault: Fault) -> None:
    if not 0 <= fault.probability <= 1:
        raise InvalidFault(f"faults: probability must be 0 to 1, got {fault.probability}")
    if not 400 <= fault.status <= 599:
        raise InvalidFault(f"faults: status must be 400 to 599, got {fault.status}")
    if fault.kind == "off" and fault.model is not None:
        raise InvalidFault("faults: off reads no request, so it cannot have a model")
    if fault.after_chunks < 0 or fault.add_ms < 0:
        raise InvalidFault("faults: after_chunks and add_ms must not be negative")
