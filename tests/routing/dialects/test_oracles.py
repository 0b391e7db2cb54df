"""The judges judge: good bodies pass, each planted fault is found; the generator covers the whole official body."""

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from jobs.chat import ChatRequest
from tests.routing.dialects import oracles
from tests.routing.dialects.bodies import bodies
from tests.routing.dialects.fields import OFFICIAL_FIELDS
from tests.routing.dialects.wire import chunk, completion

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

OPENAI: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "x-any": 1}}}],
}
ANTHROPIC: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}]},
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
}
GEMINI: dict[str, Any] = {
    "contents": [
        {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "ok"}}}]},
    ],
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object", "$ref": "#"}}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {"maxOutputTokens": 9, "stopSequences": ["x"], "thinkingConfig": {"thinkingLevel": "LOW"}},
}
GOOD = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}


@pytest.mark.parametrize("dialect", GOOD)
def test_a_good_body_passes(dialect):
    assert oracles.REQUEST_FAULTS[dialect](GOOD[dialect]) == []


def _set(body: dict[str, Any], path: list[Any], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("dialect", "path", "value"),
    [
        ("openai", ["stray"], 1),
        ("openai", ["messages", 0, "role"], "nobody"),
        ("openai", ["messages", 0, "stray"], 1),
        ("openai", ["messages", 0, "content", 0, "type"], "picture"),
        ("openai", ["messages", 0, "content", 0, "cache_control"], {"type": "ephemeral"}),
        ("openai", ["tools", 0, "function", "stray"], 1),
        ("openai", ["stream"], "yes"),
        ("anthropic", ["stop"], ["x"]),
        ("anthropic", ["messages", 0, "role"], "tool"),
        ("anthropic", ["messages", 2, "content", 0, "stray"], 1),
        ("anthropic", ["messages", 1, "content", 0, "input"], "{}"),
        ("anthropic", ["tools", 0], OPENAI["tools"][0]),
        ("anthropic", ["tools", 0, "input_schema"], {"anyOf": []}),
        ("anthropic", ["tool_choice"], "auto"),
        ("gemini", ["max_tokens"], 9),
        ("gemini", ["contents", 0, "parts", 0, "stray"], 1),
        ("gemini", ["contents", 0, "parts", 1, "inlineData", "data"], "no base64!"),
        ("gemini", ["tools", 0, "functionDeclarations", 0, "parameters"], {"$ref": "#/x"}),
        ("gemini", ["generationConfig", "stop"], ["x"]),
        ("gemini", ["toolConfig", "functionCallingConfig", "mode"], 7),
        ("gemini", ["toolConfig", "functionCallingConfig", "mode"], "SOMETIMES"),
    ],
)
def test_a_planted_fault_is_found(dialect, path, value):
    assert oracles.REQUEST_FAULTS[dialect](_set(GOOD[dialect], path, value)) != []


def test_answers_are_judged_too():
    assert oracles.completion_faults(json.dumps(completion()).encode()) == []
    assert oracles.completion_faults(json.dumps(completion(x_groq={})).encode()) != []
    assert oracles.completion_faults(json.dumps(completion(service_tier="on_demand")).encode()) != []
    assert oracles.completion_faults(json.dumps(completion(message={"pictures": []})).encode()) != []
    assert oracles.completion_faults(json.dumps(completion(message={"reasoning_content": "hm"})).encode()) == []
    assert oracles.chunk_faults(json.dumps(chunk({"content": "x"})).encode()) == []
    assert oracles.chunk_faults(json.dumps(chunk({"tool_calls": [{"id": "a"}]})).encode()) != []


def test_the_generator_knows_every_field_of_the_official_body():
    official = set(TypeAdapter(CompletionCreateParamsNonStreaming).json_schema()["properties"])
    drawn_elsewhere = {"model", "messages", "tools", "tool_choice", "functions", "function_call"}
    assert official == set(OFFICIAL_FIELDS) | drawn_elsewhere


@QUICK
@given(bodies(official=True))
def test_an_official_body_pleases_the_official_types(body):
    assert oracles.openai_request_faults(body) == []


@QUICK
@given(bodies(broken=True))
def test_every_body_is_one_that_the_door_takes(body):
    assert ChatRequest.parse(json.dumps(body).encode()).body == body
