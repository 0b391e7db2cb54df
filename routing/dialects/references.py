"""References in JSON Schemas, moved to the one place where every provider looks for them: `#/$defs/NAME` of the root.

Generators write references in many ways: into draft-07's `definitions`, to any place by a JSON Pointer, to the root, by
anchor, relative to an inner `$id`, at the root itself. Providers read fewer of them. OpenAI: "reference can only point
to definitions defined at the top level of the schema" (dotnet/extensions#6918), and a tool's root must be an object.
Gemini's list of supported keywords has `$defs`, and no `definitions` (its reference of `responseJsonSchema`). Strict
schemas of Anthropic keep `$defs` only (`transform_schema` of its SDK). So a schema that a provider could misread leaves
in the settled form, which accepts the same values.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote, urljoin

import msgspec

from routing.abilities import SCHEMA_LISTS, SCHEMA_MAPS, SINGLE_SCHEMAS

Schema: TypeAlias = Mapping[str, Any]
Path: TypeAlias = tuple[str | int, ...]

DEFS = "#/$defs/"
ANNOTATIONS = frozenset(
    ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"]
)
"""Keywords that describe a value and forbid none."""
MAX_DEPTH = 200
"""Of schemas inside schemas. The front door takes bodies of 64 levels; what lies deeper stays as it is."""
NOWHERE = "a $ref of the schema leads nowhere: any value may stand there"
_LISTED = SINGLE_SCHEMAS | SCHEMA_LISTS
_VALUES = frozenset({"enum", "const"})
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_STORES = frozenset({"$defs", "definitions"})
_NAMES = frozenset({"$anchor", "$dynamicAnchor", "$recursiveAnchor"})
"""Keywords that only serve to be referred to; a settled schema needs none of them."""
_HEADERS = frozenset({"$id", "$schema"})
"""Stay at the root. Inside they would give the references below them another root."""
_ODD = re.compile(r"[^A-Za-z0-9_.-]")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_OLD_DRAFTS = re.compile(r"json-schema\.org/draft-0[3-7]/")
"""Up to draft-07 nothing counts beside a `$ref`."""
_NEIGHBOURS = (
    frozenset({"properties", "patternProperties", "additionalProperties"}),
    frozenset({"items", "prefixItems", "additionalItems"}),
    frozenset({"contains", "minContains", "maxContains"}),
    frozenset({"if", "then", "else"}),
)
"""Keywords of one group are read together, so two schemas that each have some can't be put into one."""


class Settled(NamedTuple):
    """A schema whose references all lead to its own `$defs`."""

    schema: Schema
    lost: int = 0
    """References that led nowhere and are gone: their places accept any value."""


def settled(schema: Schema, stores: frozenset[str] = frozenset({"$defs"}), *, opens_root: bool = True) -> Settled:
    """The schema itself where nobody can misread it, else an equal one in the settled form.

    `stores` are the keywords of the root that references may lead into as they are; "" stands for the root itself.
    Without `opens_root` the root may be a reference. Never raises.

    >>> settled({"$ref": "#/definitions/a", "definitions": {"a": {"type": "string"}}}).schema
    {'type': 'string'}
    """
    if b'Ref"' not in (raw := msgspec.json.encode(schema)) and b'"$ref"' not in raw:
        return Settled(schema)
    nodes = (found for found in _nodes(schema, ()) if found[1] or opens_root or not _is_named(schema, schema, stores))
    if not any(_is_strange(node, path, schema, stores) for node, path in nodes):
        return Settled(schema)
    return _Mover(schema).settled()


def inner_mapped(schema: Schema, change: Callable[..., Any]) -> dict[str, Any]:
    """The schema with `change(inner, *steps)` in place of each schema that lies directly in it; steps lead there."""
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key in SINGLE_SCHEMAS and isinstance(value, Mapping):
            made[key] = change(value, key)
        elif key in _LISTED and isinstance(value, list):
            made[key] = [change(inner, key, place) for place, inner in enumerate(value)]
        elif key in SCHEMA_MAPS and isinstance(value, Mapping):
            made[key] = {name: change(inner, key, name) for name, inner in value.items()}
        else:
            made[key] = value
    return made


def joined(one: Schema, other: Schema) -> dict[str, Any] | None:
    """One schema that means both; None where that takes an `allOf`. Of two descriptions the other's stays."""
    common = (one.keys() & other.keys()) - ANNOTATIONS
    if any(one[key] != other[key] or type(one[key]) is not type(other[key]) for key in common):
        return None
    both = [group for group in _NEIGHBOURS if group & (one.keys() - common) and group & (other.keys() - common)]
    if both or any(key.startswith("unevaluated") for key in (*one, *other)):
        return None
    return {**one, **other}


def _nodes(schema: Any, path: Path) -> Iterator[tuple[Schema, Path]]:
    """Every schema in a schema with its path, itself first."""
    waiting: list[tuple[Any, Path]] = [(schema, path)]
    while waiting:
        node, where = waiting.pop()
        if not isinstance(node, Mapping):
            continue
        yield node, where
        for key, value in node.items():
            if key in SINGLE_SCHEMAS and isinstance(value, Mapping):
                waiting.append((value, (*where, key)))
            elif key in _LISTED and isinstance(value, list):
                waiting += [(inner, (*where, key, place)) for place, inner in enumerate(value)]
            elif key in SCHEMA_MAPS and isinstance(value, Mapping):
                waiting += [(inner, (*where, key, name)) for name, inner in value.items()]


def _is_strange(node: Schema, path: Path, root: Schema, stores: frozenset[str]) -> bool:
    """Whether a provider might misread a reference of this schema, or one below it."""
    if any(isinstance(node.get(key), str) for key in ("$dynamicRef", "$recursiveRef")):
        return True
    if path and "$id" in node:
        return True
    ref = node.get("$ref")
    if not isinstance(ref, str):
        return False
    return not path or not _is_named(node, root, stores)  # the root must say itself what it is


def _is_named(node: Schema, root: Schema, stores: frozenset[str]) -> bool:
    """Whether a schema refers to a definition of the root by a plain name, or to the root where it may."""
    ref = node.get("$ref")
    if not isinstance(ref, str) or ref == "#":
        return ref == "#" and "" in stores
    store, _, name = ref.removeprefix("#/").partition("/")
    is_plain = ref.startswith("#/") and store in stores and _NAME.fullmatch(name) is not None
    return is_plain and isinstance(root.get(store), Mapping) and name in root[store]


class _Places:
    """Where references of a document lead."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._roots: dict[Path, str] = {(): ""}
        """Paths of the schemas that references inside them start at, with their addresses."""
        self._anchors: dict[tuple[Path, str], Path] = {}
        named: list[tuple[Path, str]] = []
        for node, path in sorted(_nodes(root, ()), key=lambda found: len(found[1])):
            own = node.get("$id")
            if isinstance(own, str) and own.startswith("#"):  # an anchor, up to draft-07
                named.append((path, own[1:]))
            elif isinstance(own, str):
                self._roots[path] = _address(self._roots[self.root_of(path[:-1])], own.partition("#")[0])
            named += [(path, node[key]) for key in _NAMES if isinstance(node.get(key), str)]
        for path, name in named:
            self._anchors.setdefault((self.root_of(path), name), path)
        self._by_address = {address: path for path, address in self._roots.items() if address}

    def root_of(self, path: Path) -> Path:
        """The schema that references at a path start at: the nearest with an `$id`, else the document."""
        return next(path[:end] for end in range(len(path), -1, -1) if path[:end] in self._roots)

    def target(self, ref: str, path: Path) -> Path | None:
        """Where a reference at a path leads; None: nowhere in this document, or to what is no schema."""
        address, _, fragment = ref.partition("#")
        start: Path | None = self.root_of(path)
        if address:
            start = self._by_address.get(_address(self._roots[self.root_of(path)], address))
        if start is None:
            return None
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            return self._anchors.get((start, fragment))
        found = self._followed(start, fragment)
        return found if found is not None and isinstance(self.at(found), Mapping | bool) else None

    def at(self, path: Path) -> Any:
        """What stands at a path that exists."""
        node: Any = self._root
        for step in path:
            node = node[step]
        return node

    def _followed(self, start: Path, pointer: str) -> Path | None:
        """The path of a JSON Pointer; None when nothing is there."""
        node, path = self.at(start), start
        for step in pointer.split("/")[1:]:
            name: str | int = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and step.isascii() and step.isdigit() and int(step) < len(node):
                name = int(step)
            elif not isinstance(node, Mapping) or name not in node:
                return None
            node, path = node[name], (*path, name)
        return path


class _Mover:
    """Writes one document anew; each schema that is referred to is written once, under a name of its own."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._places = _Places(root)
        self._is_old = isinstance(root.get("$schema"), str) and _OLD_DRAFTS.search(root["$schema"]) is not None
        self._names: dict[Path, str] = {}
        self._waiting: list[Path] = []
        self._lost = 0

    def settled(self) -> Settled:
        headers = {key: value for key, value in self._root.items() if key in _HEADERS}
        made = {**headers, **self._opened((), self._root, ())}
        definitions: dict[str, Any] = {}
        while self._waiting:
            path = self._waiting.pop(0)
            definitions[self._names[path]] = self._written(self._places.at(path), path)
        for key in {path[0] for path in self._names if path} - _LISTED - SCHEMA_MAPS - _VALUES:
            made.pop(str(key), None)  # a store under a name of the caller's own: it is copied
        return Settled({**made, "$defs": definitions} if definitions else made, self._lost)

    def _opened(self, path: Path, node: Schema, seen: tuple[Path, ...]) -> dict[str, Any]:
        """The root without a reference of its own: what it refers to stands in its place."""
        ref = node.get("$ref")
        beside = {key: value for key, value in node.items() if key != "$ref"}
        if not isinstance(ref, str):
            return dict(self._written(node, path))
        target = self._places.target(ref, path)
        if target is None or target in (path, *seen):
            self._lost += 1
            return dict(self._written(beside, path))
        meant = self._places.at(target)
        if not isinstance(meant, Mapping):
            meant = {} if meant else {"not": {}}
        if self._is_old:
            beside = {key: value for key, value in beside.items() if key in ANNOTATIONS}
        inside = self._opened(target, meant, (*seen, path))
        outside = dict(self._written(beside, path))
        both = joined(inside, outside)
        if both is None:
            kind = {"type": "object"} if "object" in (inside.get("type"), outside.get("type")) else {}
            both = {**kind, "allOf": [inside, outside]}
        return both

    def _written(self, node: Any, path: Path) -> Any:
        if not isinstance(node, Mapping) or len(path) > MAX_DEPTH:
            return node
        kept = {key: value for key, value in node.items() if key not in _STORES | _NAMES | _HEADERS}
        made = inner_mapped(kept, lambda inner, *steps: self._written(inner, (*path, *steps)))
        for key in _REFERENCES:
            if isinstance(made.get(key), str):
                name = self._named(made.pop(key), path)
                if name is not None:
                    made = {"$ref": DEFS + name, **made}
        return made

    def _named(self, ref: str, path: Path) -> str | None:
        """The name under which the schema is written that a reference leads to; None: it leads nowhere."""
        target = self._places.target(ref, path)
        if target is None:
            self._lost += 1
            return None
        if target not in self._names:
            told = next((step for step in reversed(target) if isinstance(step, str)), "root")
            plain = _ODD.sub("_", told)[:48] or "schema"
            name, taken = plain, set(self._names.values())
            while name in taken:
                name = f"{plain}_{len(taken) + 1}"
            self._names[target] = name
            self._waiting.append(target)
        return self._names[target]


def _address(base: str, relative: str) -> str:
    try:
        return urljoin(base, relative)
    except ValueError:  # no address at all
        return relative
