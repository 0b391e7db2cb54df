"""JSON Schemas that callers send: whether they are any, and validators for what must keep them, made once each."""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from jsonschema import exceptions, validators
from jsonschema.protocols import Validator
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable

MOST_KEPT = 256
"""Validators; one of a usual schema takes some tens of kB."""
LONGEST_PATTERN = 500
LONGEST_MATCHED, MOST_LOOPS = 5_000, 4
_RISKY = re.compile(r"\)[*+{]|\\[1-9]|\(\?P=")
"""A repeated group or a reference back: what can take a backtracking matcher for ever, and `re` can't be stopped."""
_LOOP = re.compile(r"(?<!\\)[*+]")


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
    schema = msgspec.json.decode(raw)
    try:
        _kind(schema).check_schema(schema)
    except exceptions.SchemaError as error:
        return SchemaFault(".".join(map(str, error.absolute_path)), error.message[:200])
    except RecursionError:
        return SchemaFault("", "it is nested too deep")
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
    try:
        error = exceptions.best_match(_validator(msgspec.json.encode(schema)).iter_errors(value))
    except (Unresolvable, exceptions.SchemaError, RecursionError, re.error):
        return None
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
    kind = _careful(_kind(schema))
    # With a registry of its own it fetches nothing.
    made: Validator = kind(schema, registry=REGISTRY)
    return made


@functools.cache
def _careful(kind: type[Validator]) -> Any:
    """The same rules, but for patterns that might not end."""
    rules = {"pattern": _pattern, "patternProperties": _pattern_properties}
    return validators.extend(kind, rules)  # type: ignore[no-untyped-call]


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[exceptions.ValidationError]:
    """The usual rule for patterns that end; others are not looked at."""
    if is_tame(pattern) and isinstance(value, str) and len(value) <= LONGEST_MATCHED:
        yield from _USUAL["pattern"](validator, pattern, value, schema) or ()


def _pattern_properties(validator: Any, rules: Any, value: Any, schema: Any) -> Iterator[exceptions.ValidationError]:
    tame = {pattern: rule for pattern, rule in rules.items() if is_tame(pattern)}
    yield from _USUAL["patternProperties"](validator, tame, value, schema) or ()


_USUAL: Mapping[str, Any] = validators.Draft202012Validator.VALIDATORS


def is_tame(pattern: str) -> bool:
    """Whether a backtracking matcher is surely done with it soon; some that are tame are taken for wild.

    >>> is_tame("^[a-z]{2}-[0-9]+$"), is_tame("^(a+)+$")
    (True, False)
    """
    return len(pattern) <= LONGEST_PATTERN and not _RISKY.search(pattern) and len(_LOOP.findall(pattern)) <= MOST_LOOPS
