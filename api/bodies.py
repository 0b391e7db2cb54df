"""Reads request bodies: counted while they come, and parsed as JSON that all readers understand the same way."""

import re
from typing import Any

import msgspec
from fastapi import Request

from api.problems import Code, Problem

MAX_DEPTH = 64
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


async def read_body(request: Request, most_bytes: int) -> bytes:
    """The whole body. Raises Problem (413) as soon as it is over the limit."""
    check_encoding(request)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > most_bytes:
        raise too_large(most_bytes)
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most_bytes:
            raise too_large(most_bytes)
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def check_encoding(request: Request) -> None:
    """Refuse compressed bodies: their size is only known when they are unpacked."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(Code.UNSUPPORTED, "send the body without Content-Encoding", "Content-Encoding")


def too_large(most_bytes: int) -> Problem:
    """The 413."""
    return Problem(Code.BODY_TOO_LARGE, f"the body is over {most_bytes:,} bytes; split it")


def strict_json(raw: bytes) -> Any:
    """Parse. Raises Problem for what is not JSON, names a key twice, or is nested deeper than MAX_DEPTH.

    A doubled key would mean one thing here and another at a provider. It is found by counting: outside strings
    each colon belongs to a key, and a parsed tree has kept one of each.
    """
    try:
        tree = msgspec.json.decode(raw)
    except RecursionError as error:
        raise Problem(Code.TOO_DEEP, f"the JSON is nested more than {MAX_DEPTH} deep") from error
    except UnicodeDecodeError as error:
        raise Problem(Code.INVALID_JSON, f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    except msgspec.DecodeError as error:
        raise Problem(Code.INVALID_JSON, f"the body is not valid JSON: {error}") from error
    if _STRINGS.sub(b"", raw).count(b":") != _count_keys(tree):
        raise Problem(Code.DUPLICATE_KEY, "an object names a key twice; send each key once")
    return tree


def _count_keys(tree: Any) -> int:
    """Keys in all objects of a tree. Raises Problem when it is too deep."""
    keys = 0
    level = [tree]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                keys += len(node)
                below += [child for child in node.values() if isinstance(child, dict | list)]
            elif isinstance(node, list):
                below += [child for child in node if isinstance(child, dict | list)]
        if not below:
            return keys
        level = below
    raise Problem(Code.TOO_DEEP, f"the JSON is nested more than {MAX_DEPTH} deep")
