"""/docs: the routes, their parameters, schemas and errors on one plain page that needs nothing from the internet."""

import html
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.contract import COMPONENTS
from api.problems import PROBLEMS
from api.schema_words import fields, in_words

router = APIRouter(tags=["operations"])
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
pre{background:#f4f4f2;padding:.7rem;overflow:auto;border-radius:4px;font-size:13px}
h2{margin-top:2.2rem;border-top:1px solid #ddd;padding-top:1rem;font-size:1.05rem}
b{font-family:ui-monospace,monospace}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}"""


@router.get("/docs", response_class=HTMLResponse, include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse(page(request.app.openapi()))


def page(schema: dict[str, Any]) -> str:
    """The HTML of an OpenAPI document."""
    parts = [f"<h1>{_text(schema['info']['title'])}</h1><p>{_text(schema['info'].get('description', ''))}</p>"]
    known = schema["components"]["schemas"]
    for path, operations in schema["paths"].items():
        parts += [_operation(method, path, operation, known) for method, operation in operations.items()]
    for name in sorted(COMPONENTS):
        if rows := fields(known[name], known):
            parts.append(f"<h2>{_text(name)}</h2>" + _table(rows))
    parts.append("<h2>Errors</h2><table><tr><th>status<th>code<th>cause<th>remedy</tr>")
    parts += [
        f"<tr><td>{entry.status}<td><b>{code}</b><td>{_text(entry.cause)}<td>{_text(entry.remedy)}</tr>"
        for code, entry in PROBLEMS.items()
    ]
    parts.append('</table><p>The same for machines: <a href="/openapi.json">/openapi.json</a></p>')
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Tokenyard API</title><style>{_STYLE}</style>'
        + ("\n".join(parts))
    )


def _operation(method: str, path: str, operation: dict[str, Any], known: dict[str, Any]) -> str:
    parts = [f"<h2><b>{method.upper()} {_text(path)}</b></h2><p>{_text(operation.get('description', ''))}</p>"]
    if parameters := operation.get("parameters"):
        parts.append(_table([(p["name"], in_words(p.get("schema", {}), known), p["in"]) for p in parameters]))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body: {_text(media)}</p>" + _pre(content.get("example", content["schema"])))
    return "".join(parts)


def _table(rows: list[tuple[str, str, str]]) -> str:
    cells = [f"<tr><td><b>{_text(a)}</b><td>{_text(b)}<td>{_text(c)}</tr>" for a, b, c in rows]
    return f"<table>{''.join(cells)}</table>"


def _pre(content: Any) -> str:
    return f"<pre>{_text(msgspec.json.format(msgspec.json.encode(content), indent=2).decode())}</pre>"


def _text(text: str) -> str:
    return html.escape(text)
