"""JSON Schemas that callers send: whether they are any, and validators for what must keep them, made once each."""

import contextvars
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import re2
from jsonschema import exceptions, validators
from jsonschema.protocols import Validator
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable

MOST_KEPT = 64
"""Validators; one of a usual schema takes some tens of kB."""
MOST_BYTES = 64_000
"""Of one schema: holding one to the draft's own takes some microseconds a byte."""
MOST_STEPS = 30_000
"""Rules that are tried on one value. Schemas that multiply themselves, and endless values, end there."""
QUIET = re2.Options()
QUIET.log_errors = False


class TooMuch(Exception):
    """More steps than a value is worth."""


UNWORKABLE = (
    TooMuch,
    Unresolvable,
    exceptions.SchemaError,
    exceptions.UnknownType,
    RecursionError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    re2.error,
)
"""What a library meets in schemas that are sound by the letter: a $ref into a text, no such type, huge numbers."""


class SchemaFault(msgspec.Struct, frozen=True):
    """A schema that is none."""

    path: str
    """Inside the schema: `properties.city.type`."""
    message: str


class Breach(msgspec.Struct, frozen=True):
    """Where a value does not keep its schema."""

    rule: str
    """Path inside the schema to the rule that is broken: the caller's own words, nothing of the value."""
    told: str
    """The same as a sentence about the value, for whoever made the value."""


def fault(schema: Any) -> SchemaFault | None:
    """Why this is no JSON Schema that can be kept here; None when it is one. Never raises."""
    if not isinstance(schema, Mapping | bool):
        return SchemaFault("", "a JSON Schema is an object")
    return _fault(msgspec.json.encode(schema))


@functools.lru_cache(MOST_KEPT)
def _fault(raw: bytes) -> SchemaFault | None:
    if len(raw) > MOST_BYTES:
        return SchemaFault("", f"it is over {MOST_BYTES:,} bytes")
    schema = msgspec.json.decode(raw)
    try:
        _kind(schema).check_schema(schema)
    except exceptions.SchemaError as error:
        return SchemaFault(".".join(map(str, error.absolute_path)), error.message[:200])
    except UNWORKABLE:
        return SchemaFault("", "it cannot be read as a JSON Schema, or is nested too deep")
    for path, reference in _references(schema):
        if not reference.startswith("#"):
            return SchemaFault(path, "a $ref must begin with #: nothing is fetched")
    return None


def _references(schema: Any) -> Iterator[tuple[str, str]]:
    """Every $ref with its path."""
    waiting: list[tuple[str, Any]] = [("", schema)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, Mapping):
            if isinstance(node.get("$ref"), str):
                yield f"{path}.$ref".lstrip("."), node["$ref"]
            waiting += [(f"{path}.{name}", child) for name, child in node.items()]
        elif isinstance(node, list):
            waiting += [(f"{path}.{index}", child) for index, child in enumerate(node)]


def breach(schema: Any, value: Any) -> Breach | None:
    """Where `value` breaks the schema most tellingly; None when it keeps it.

    A schema that can't be worked with (a $ref that leads nowhere, endless recursion) forbids nothing here: the provider
    was asked to keep it, and we can't tell.
    """
    left = _steps.set([MOST_STEPS])
    try:
        error = exceptions.best_match(_validator(msgspec.json.encode(schema)).iter_errors(value))
    except UNWORKABLE:
        return None
    finally:
        _steps.reset(left)
    if error is None:
        return None
    where = ".".join(map(str, error.absolute_path))
    told = f"{where}: {error.message}" if where else error.message
    return Breach(rule=".".join(map(str, error.absolute_schema_path)), told=told[:1_000])


def _kind(schema: Any) -> type[Validator]:
    kind: type[Validator] = validators.validator_for(schema, default=validators.Draft202012Validator)
    return kind


@functools.lru_cache(MOST_KEPT)
def _validator(raw: bytes) -> Validator:
    schema = msgspec.json.decode(raw)
    if b'"unevaluated' in raw and b'"patternProperties"' in raw:
        raise TooMuch  # the library would match these patterns by itself
    kind = _careful(_kind(schema))
    # With a registry of its own it fetches nothing.
    made: Validator = kind(schema, registry=REGISTRY)
    return made


_steps: contextvars.ContextVar[list[int]] = contextvars.ContextVar("steps")


@functools.cache
def _careful(kind: type[Validator]) -> Any:
    """The same rules, counted; those that match patterns do it in linear time, and no list is compared with itself."""
    own = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    usual: Mapping[str, Any] = kind.VALIDATORS
    rules = {name: _counted(own.get(name, rule)) for name, rule in usual.items()}
    return validators.extend(kind, rules)  # type: ignore[no-untyped-call]


def _counted(rule: Any) -> Any:
    @functools.wraps(rule)
    def counted(*arguments: Any) -> Any:
        left = _steps.get()
        left[0] -= 1
        if left[0] < 0:
            raise TooMuch
        return rule(*arguments)

    return counted


Errors = Iterator[exceptions.ValidationError]


@functools.lru_cache(MOST_KEPT)
def _compiled(pattern: str) -> Any:
    """A matcher that takes no longer than its text; None for a pattern that has no such one (looking around, back)."""
    try:
        return re2.compile(pattern, QUIET)
    except (re2.error, ValueError, OverflowError):
        return None


def _matches(pattern: str, text: str) -> bool | None:
    """None: nobody can tell in time."""
    matcher = _compiled(pattern)
    return None if matcher is None else matcher.search(text) is not None


def _pattern(validator: Any, pattern: Any, value: Any, _schema: Any) -> Errors:
    if validator.is_type(value, "string") and _matches(pattern, value) is False:
        yield exceptions.ValidationError(f"{value[:200]!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, rules: Any, value: Any, _schema: Any) -> Errors:
    if not validator.is_type(value, "object"):
        return
    for pattern, rule in rules.items():
        for name, inner in value.items():
            if _matches(pattern, name):
                yield from validator.descend(inner, rule, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rule: Any, value: Any, schema: Any) -> Errors:
    if not validator.is_type(value, "object"):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extras = [
        name
        for name in value
        if name not in known and not any(_matches(pattern, name) in (True, None) for pattern in patterns)
    ]
    if validator.is_type(rule, "object"):
        for name in extras:
            yield from validator.descend(value[name], rule, path=name)
    elif not rule and extras:
        named = ", ".join(repr(name[:100]) for name in extras[:3])
        yield exceptions.ValidationError(f"additional properties are not allowed: {named}")


def _unique_items(validator: Any, wanted: Any, value: Any, _schema: Any) -> Errors:
    """By a set: the library compares each with each."""
    if wanted and validator.is_type(value, "array") and len(set(map(_plain, value))) < len(value):
        yield exceptions.ValidationError("the list has two equal items")


def _plain(value: Any) -> Any:
    """Hashable, and equal where JSON Schema says so: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return frozenset((name, _plain(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return tuple(map(_plain, value))
    return (type(value) is bool, value)
