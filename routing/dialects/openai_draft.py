"""A chat-completions body on its way to one provider: what it is now, and what was done to it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.chat import Adaptation
from routing.catalog import Model
from routing.dialects.accents import Accent

NO_FIELD = "the provider's API has no such field"
REFUTED = "the provider lately answered 400 to it, and is not asked for it again for an hour"


class Refused(Exception):
    """A part can't be carried, and leaving it out would change what was asked. Never leaves the dialect."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason


class Draft(msgspec.Struct):
    """`body` is ours to change at its top level; what lies deeper still belongs to the request and is copied first."""

    body: dict[str, Any]
    accent: Accent
    model: Model
    adaptations: list[Adaptation] = msgspec.field(default_factory=list)
    given: Mapping[str, Any] = {}
    """The caller's body."""
    upstream: str = ""
    """The model's name at the provider."""
    refuted: frozenset[str] = frozenset()
    """Fields of the caller's that the deployment is known not to take for now."""
    is_json_told: bool = False
    """The model is asked for JSON in words and by nothing else."""

    def told(self, field: str, action: str, reason: str) -> None:
        """Put it on the list that the caller gets to see."""
        self.adaptations.append(Adaptation(field=field, action=action, reason=reason))

    def drop(self, field: str, reason: str) -> None:
        """Leave a field of the body out, and say so unless its value is what holds without it."""
        value = self.body.pop(field, None)
        if value is not None and not is_default(field, value):
            self.told(field, "dropped", reason)

    def change(self, field: str, value: Any, reason: str) -> None:
        """Replace a field of the body, and say so unless that changes nothing."""
        before = self.body.get(field)
        self.body[field] = value
        if before != value or type(before) is not type(value):
            self.told(field, "added" if before is None else "changed", reason)

    def say(self, field: str, fields: Mapping[str, Any], what: str) -> bool:
        """Say a field of the caller's in other fields, its own name among them or not.

        The caller may have written one of these, too: then that stands, and the field is told as left out with `what`
        the other is ("the provider's own name for it"). No value of a caller's is ever written over.
        Returns whether the field was said.
        """
        given = {name: self.body[name] for name in fields if name != field and self.body.get(name) is not None}
        is_same = field in fields and all(given[name] == fields[name] for name in given)
        if given and not is_same:
            self.drop(field, f"{' and '.join(given)} is given, too, and is {what}")
            return False
        self.body.pop(field, None)
        self.body.update(fields)
        return True


DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "function_call": ("auto", "none"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "metadata": ({},),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "reasoning_effort": (),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "stop": ([],),
    "store": (False,),
    "stream_options": ({}, {"include_usage": True}),
    "temperature": (1,),
    "tool_choice": ("auto",),
    "tools": ([],),
    "top_logprobs": (0,),
    "top_p": (1,),
    "verbosity": ("medium",),
}
"""What OpenAI's reference says holds when a field is absent: leaving that value out changes nothing, so it is not told.

`stream_options.include_usage` is there because every stream of ours asks for its usage."""


def is_default(field: str, value: Any) -> bool:
    """Whether the field could as well be absent."""
    return value in DEFAULTS.get(field, ())
