"""Reads a chat completion as OpenAI's clients send it: the body is the request, our own fields ride in it or beside it.

Our fields (`task`, `intent`, `policy`, ...) stand at the top of the body, where `extra_body` puts them, or in headers
(`x-tokenyard-task`). They are taken out before the body becomes the job's request; the rest of it stays as it was sent,
byte for byte. Where both are given, the body's wins: headers are set once for a client, a body for each call.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from api.bodies import strict_json
from api.problems import Code, Problem
from api.riders import read_ridden
from api.schemas import Wish

TEXTS = ("task", "policy", "custom_id", "webhook", "deadline")
JSONS = ("intent", "strict")
OURS = (*TEXTS, *JSONS)
PREFIX = "x-tokenyard-"


def read_asked(raw: bytes, headers: Mapping[str, str]) -> Wish:
    """What a chat completion asks for. Raises Problem; its `param` is the field of the body."""
    tree = strict_json(raw)
    if not isinstance(tree, dict):
        raise Problem(Code.INVALID_VALUE, "send a chat-completions body: a JSON object with model and messages")
    if "lane" in tree:
        message = "lane: a chat completion is interactive, because its caller waits; POST /v1/jobs takes a lane"
        raise Problem(Code.UNKNOWN_FIELD, message, "lane")
    _check_stream_options(tree)
    given = _given(headers)
    try:
        return read_ridden(raw, tree, OURS, given)
    except Problem as problem:
        raise as_openai(problem) from problem


def as_openai(problem: Problem) -> Problem:
    """The problem with the names that its reader knows, and OpenAI's status and code where its clients look for them.

    Here the request is the body itself, a model that is not there is a 404, and a prompt that fits no window a 400 of
    a code of its own, on which clients shorten the conversation.
    """
    if problem.is_too_long:
        problem = Problem(Code.CONTEXT_TOO_LONG, problem.message, "messages")
    problem.message = problem.message.removeprefix("request: ").removeprefix("request.")
    problem.param = problem.param.removeprefix("request.") if problem.param else problem.param
    if problem.param == "request":
        problem.param = None
    if problem.code is Code.UNKNOWN_MODEL and problem.param == "model":
        problem.status = 404
    return problem


def wants_usage(wish: Wish) -> bool:
    """Whether a stream ends with a chunk that tells its usage."""
    options = wish.request.body.get("stream_options")
    return bool(options.get("include_usage")) if isinstance(options, Mapping) else False


def _given(headers: Mapping[str, str]) -> dict[str, Any]:
    """Our fields that came as headers; texts as they are, the others as JSON."""
    given: dict[str, Any] = {}
    for name in OURS:
        text = headers.get(PREFIX + name.replace("_", "-"))
        if text is None:
            continue
        given[name] = text if name in TEXTS else _json(name, text)
    return given


def _json(name: str, text: str) -> msgspec.Raw:
    header = PREFIX + name
    try:
        strict_json(text.encode())
    except Problem as problem:
        raise Problem(problem.code, f"{header}: {problem.message}", header) from problem
    return msgspec.Raw(text.encode())


def _check_stream_options(tree: Mapping[str, Any]) -> None:
    options = tree.get("stream_options")
    if options is None:
        return
    if not tree.get("stream"):
        raise Problem(Code.INVALID_VALUE, "stream_options: is only for stream = true", "stream_options")
    if not isinstance(options, dict) or not isinstance(options.get("include_usage", False), bool | None):
        raise Problem(Code.INVALID_VALUE, "stream_options: an object; include_usage is true or false", "stream_options")
