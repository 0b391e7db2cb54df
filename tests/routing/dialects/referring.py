"""Hypothesis strategies for JSON Schemas that refer to themselves in every way that generators of schemas know."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

Schema = dict[str, Any]
Path = tuple[str | int, ...]

NAMES = ("a", "b", "a/b", "c%d", "e~f", "g h", "\u00fc", "root", "Box_int_")
"""Of definitions; most must be escaped in a JSON Pointer, or in the fragment of an address."""
LEAVES: tuple[Schema, ...] = (
    {"type": "string"},
    {"type": "integer", "minimum": 1},
    {"enum": ["x", 1, None]},
    {"const": {"$ref": "#/no/reference"}},
    {"type": ["string", "null"]},
)
MORE: tuple[Schema, ...] = ({}, {"required": ["p"]}, {"additionalProperties": False})
REFER = "refer"
"""Stands for a reference until it is known where there is something to refer to."""


@st.composite
def referring_schemas(draw: DrawFn) -> Schema:
    """An object schema whose references all lead somewhere."""
    store = draw(st.sampled_from(["$defs", "definitions"]))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    root: Schema = {**draw(_objects(2)), store: {name: draw(_objects(1)) for name in names}}
    if draw(st.booleans()):
        root["$schema"] = "http://json-schema.org/draft-07/schema#" if store == "definitions" else DRAFT_2020
    if draw(st.integers(0, 3)) == 3:
        _embed(root[store][names[0]], store)
    elif store == "$defs" and draw(st.booleans()):
        root[store][names[0]]["$anchor"] = "point"
    if draw(st.integers(0, 2)) == 2:
        kept = {key: root.pop(key) for key in ("$schema", store) if key in root}
        kept[store]["whole"] = root
        root = {"$ref": f"#/{store}/whole", **kept}
    _refer(draw, root)
    return root


DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


def _objects(depth: int) -> st.SearchStrategy[Schema]:
    inner: st.SearchStrategy[Schema] = st.one_of(st.sampled_from(LEAVES).map(dict), st.builds(lambda: {REFER: True}))
    if depth:
        inner = st.one_of(
            inner, inner, _objects(depth - 1), _objects(depth - 1).map(lambda s: {"type": "array", "items": s})
        )
        inner = st.one_of(inner, st.lists(inner, min_size=1, max_size=2).map(lambda some: {"anyOf": some}))
    return st.builds(
        lambda properties, more: {"type": "object", "properties": properties, **more},
        st.dictionaries(st.sampled_from(["p", "q", "$ref"]), inner, min_size=1, max_size=2),
        st.sampled_from(MORE).map(dict),
    )


def _embed(inner: Schema, store: str) -> None:
    """A schema with an address: what it refers to is looked for inside it."""
    inner["$id"] = "https://example.com/inner.json"
    inner[store] = {"deep": {"type": "string"}}
    inner["properties"]["deep"] = {"$ref": f"#/{store}/deep"}


def _refer(draw: DrawFn, root: Schema) -> None:
    """Let each placeholder refer to some schema of the same address; beside it stands, now and then, a description."""
    places = [(node, path) for node, path in schemas_in(root)]
    addressed = [path for node, path in places if "$id" in node]
    for node, path in places:
        if REFER not in node:
            continue
        start = next((outer for outer in addressed if path[: len(outer)] == outer), ())
        within = [
            target
            for _, target in places
            if target[: len(start)] == start and not any(t != start and target[: len(t)] == t for t in addressed)
        ]
        del node[REFER]
        pointer = "".join(f"/{_escaped(step)}" for step in draw(st.sampled_from(within))[len(start) :])
        anchors = [inner["$anchor"] for inner, _ in places if "$anchor" in inner] if not start else []
        written = [pointer.replace("%", "%25"), quote(pointer, safe="/~$"), *anchors]
        node["$ref"] = "#" + draw(st.sampled_from(written))
        node.update(draw(st.sampled_from([{}, {}, {"description": "Here"}, {"minProperties": 1}])))


def _escaped(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def schemas_in(schema: Any, path: Path = ()) -> Iterator[tuple[Schema, Path]]:
    """Every schema in a schema with its path: those of the keywords that are drawn here."""
    if not isinstance(schema, dict):
        return
    yield schema, path
    for key in ("properties", "$defs", "definitions"):
        for name, inner in schema.get(key, {}).items():
            yield from schemas_in(inner, (*path, key, name))
    if "items" in schema:
        yield from schemas_in(schema["items"], (*path, "items"))
    for union in ("anyOf", "allOf"):
        for place, inner in enumerate(schema.get(union, [])):
            yield from schemas_in(inner, (*path, union, place))


_PLAIN = st.sampled_from(["x", "", 1, 0, None, {"$ref": "#/no/reference"}, True])
VALUES: st.SearchStrategy[Any] = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["p", "q", "$ref", "deep"]), inner, max_size=3), st.lists(inner, max_size=2)
    ),
    max_leaves=5,
)
"""Values to hold to the schemas."""
