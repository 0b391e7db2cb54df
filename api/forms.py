"""Small JSON bodies of the routes that manage things: read into a struct, and described on the docs page."""

from typing import Any, TypeVar

import msgspec
from fastapi import Request

from api.bodies import read_body, strict_json
from api.contract import COMPONENTS, REF
from api.problems import Code, Problem
from api.schemas import decoded

MOST_BYTES = 20_000
Form = TypeVar("Form", bound=msgspec.Struct)


def described(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads such a body."""
    (reference,), components = msgspec.json.schema_components([kind], ref_template=REF)
    COMPONENTS.update(components)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


async def read_form(request: Request, kind: type[Form]) -> Form:
    """Read the body. Raises Problem with the field and what it should be."""
    raw = await read_body(request, MOST_BYTES)
    strict_json(raw)
    form: Form = decoded(msgspec.json.Decoder(kind), raw, {"": kind.__struct_fields__})
    for name in kind.__struct_fields__:
        value = getattr(form, name)
        if isinstance(value, str) and "\0" in value:
            raise Problem(Code.INVALID_VALUE, f"{name}: must not contain the character NUL", name)
    return form
