"""Facts that are doubted: what leaves though nobody knows that it is taken, and what a refusal of it teaches.

A provider that answers 400 and names a field of the request corrects such a fact for the running yard: for an hour
that deployment is taken not to have it, so it is left out and told, or another candidate is asked (`Target.refuted`).
Then it is tried again. Two things keep one caller's mistake from being everybody's fact: a complaint about a value
teaches nothing, and a field that was answered with 200 within the hour is only given up for a code that says so.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec.structs import replace

from jobs.failures import Failure, FailureKind
from routing.catalog import Model
from routing.dialects.accent_table import ACCENTS, EXTENSIONS, OPENAI
from routing.dialects.accents import CORE, OFFICIAL, Accent

KEPT_S = 3_600.0
"""How long a correction holds, and how long a 200 stands against one."""
_NEVER = frozenset({"model", "messages", "stream", "max_tokens", "max_completion_tokens"})
"""No provider lacks them."""
_LACKS = re.compile(r"unsupported|not_supported|unrecogni[sz]ed|unknown_(?:param|arg|field)")
"""In a code that says outright that the field is not taken: `unsupported_parameter`, `unknown_parameter`..."""
_VALUE = re.compile(r"invalid_(?!request)|_above_|_below_|_too_|missing|empty|out_of_range|duplicate")
"""In a code that complains of a value: `invalid_value`, `decimal_above_max_value`, `string_too_long`..."""
_BY_MODEL: Mapping[str, Callable[[Model], bool]] = {
    "reasoning_effort": lambda model: model.reasoning_efforts is None,
    "logprobs": lambda model: model.has_logprobs is None,
    "top_logprobs": lambda model: model.has_logprobs is None,
    "parallel_tool_calls": lambda model: model.has_parallel_tools is None,
}
"""Fields of which the catalogue may know whether a model takes them: whether it does not."""
ABILITIES = {
    "tools": "has_tools",
    "functions": "has_tools",
    "tool_choice": "has_forced_tools",
    "response_format.json_object": "has_json_mode",
    "response_format.json_schema": "has_json_schema",
}
"""What a model lacks where a field of the core is refuted: there are other ways to ask for the same."""


def spoken(dialect: str, accent: str) -> Accent | None:
    """The accent that a provider is spoken to in; None for a wire whose errors name no field of a caller's."""
    return ACCENTS.get(accent, OPENAI) if dialect == "openai" else None


def doubted(carried: Collection[str], accent: Accent, model: Model) -> frozenset[str]:
    """Of the fields that a request carried, those that nobody knows to be taken."""
    tried = {field for field in carried if field in accent.tried or field not in OFFICIAL | EXTENSIONS}
    if accent.as_of is None:
        tried |= set(carried) - CORE
    return frozenset(tried | {field for field in carried if field in _BY_MODEL and _BY_MODEL[field](model)})


def refuted(failure: Failure, carried: Mapping[str, Any], accent: Accent, doubts: Collection[str]) -> str | None:
    """The field that a failure shows not to be taken; None where it shows nothing.

    `carried` are the caller's fields and those that were added, `doubts` those of them that are doubted now. A kind of
    `response_format` has a name of its own: `response_format.json_schema`.
    """
    if failure.kind is not FailureKind.BAD_REQUEST or failure.field is None:
        return None
    field, code = _origin(failure.field, carried, accent), failure.code or ""
    if field in _NEVER or field not in carried or _VALUE.search(code):
        return None
    if not _LACKS.search(code) and field not in doubts:
        return None
    form = carried[field]
    is_formed = field == "response_format" and isinstance(form, Mapping)
    return f"{field}.{form.get('type')}" if is_formed else field


def corrected(model: Model, refuted_fields: Collection[str]) -> Model:
    """The model without the abilities that were refuted where it is served."""
    lacks = {ABILITIES[field]: False for field in refuted_fields if field in ABILITIES}
    return replace(model, **lacks) if lacks else model


def _origin(named: str, carried: Collection[str], accent: Accent) -> str:
    """The caller's field behind the one that the provider names."""
    if named in carried:
        return named
    for field, name in accent.renames.items():
        if name == named:
            return field
    is_effort = any(named in fields for fields in accent.effort_fields.values())
    return "reasoning_effort" if is_effort else named
