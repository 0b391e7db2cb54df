"""Each wire refuses what its provider refuses and other mocks let through, in its provider's shape."""

from typing import Any

import msgspec
import pytest

from sandbox.speech import Refusal
from sandbox.wires.anthropic import AnthropicWire
from sandbox.wires.base import Wire
from sandbox.wires.gemini import BASE, GeminiWire
from sandbox.wires.openai import OpenAIWire

from .bodies import (
    ANTHROPIC_TOOLS,
    GEMINI_TOOLS,
    OPENAI_TOOLS,
    WEATHER,
    anthropic_body,
    gemini_body,
    openai_body,
)

PATH = f"{BASE}m:generateContent"
USER = {"role": "user", "content": "x"}
USE: Any = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
RESULT: Any = {"type": "tool_result", "tool_use_id": "t1", "content": "21"}
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
MARK: Any = {"type": "ephemeral"}
FUNCTION_CALL: Any = {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}}]}
RESPONSE: Any = {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"c": 1}}}]}
ASK: Any = gemini_body()["contents"][0]


def refused(wire: Wire, body: dict[str, Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        wire.parse(msgspec.json.encode(body), PATH, "")
    return caught.value


def messages(*rest: Any) -> dict[str, Any]:
    return {**anthropic_body(tools=ANTHROPIC_TOOLS), "messages": [USER, *rest]}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({key: value for key, value in anthropic_body().items() if key != "max_tokens"}, "max_tokens"),
        (anthropic_body(max_tokens=0), "max_tokens"),
        (anthropic_body(stop="x"), "unknown field `stop`"),
        (anthropic_body(temperature=1.7), "temperature"),
        (anthropic_body(temperature=0.5, top_p=0.5), "cannot both"),
        (anthropic_body(stop_sequences=["\n"]), "non-whitespace"),
        (anthropic_body(tools=OPENAI_TOOLS), "tools.0"),
        (anthropic_body(tools=[{"name": "a b", "input_schema": WEATHER}]), "pattern"),
        (anthropic_body(tools=[{"name": "a", "input_schema": {"anyOf": []}}]), "'object'"),
        (anthropic_body(tools=ANTHROPIC_TOOLS * 2), "unique"),
        (anthropic_body(tool_choice={"type": "any"}), "while providing tools"),
        (anthropic_body(tools=ANTHROPIC_TOOLS, tool_choice={"type": "tool", "name": "x"}), "not found"),
        (anthropic_body(tools=ANTHROPIC_TOOLS, tool_choice={"type": "tool"}), "required"),
        (anthropic_body(thinking=THINKING), "must be greater"),
        (anthropic_body(thinking={"type": "enabled", "budget_tokens": 10}), "1024"),
        (
            anthropic_body(max_tokens=2000, thinking=THINKING, tools=ANTHROPIC_TOOLS, tool_choice={"type": "any"}),
            "forces",
        ),
        (anthropic_body(output_config={"format": {"type": "json_schema", "schema": WEATHER}}), "additionalProperties"),
        (anthropic_body(system=[{"type": "text", "text": " "}]), "system"),
        (anthropic_body(system=[{"type": "text", "text": "x", "cache_control": MARK}] * 5), "maximum of 4"),
        ({**anthropic_body(), "messages": []}, "at least one"),
        ({**anthropic_body(), "messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ({**anthropic_body(), "messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({**anthropic_body(), "messages": [{"role": "assistant", "content": "x"}]}, "first message"),
        ({**anthropic_body(), "messages": [user(RESULT)]}, "without a `tool_use`"),
        ({**anthropic_body(), "messages": [USER, assistant(USE), user(RESULT)]}, "must define tools"),
        (messages(assistant(USE)), "immediately after"),
        (messages(assistant(USE), USER), "immediately after"),
        (messages(assistant(USE), user({"type": "text", "text": "x"}, RESULT)), "come first"),
        (messages(assistant(USE), user(RESULT, RESULT)), "single result"),
        (messages(assistant({**USE, "id": "call 1"}), user({**RESULT, "tool_use_id": "call 1"})), "pattern"),
        (messages(assistant({"type": "text", "text": ""}), USER), "non-whitespace"),
        (messages({"role": "assistant", "content": "so "}), "trailing whitespace"),
        (messages(user(USE)), "cannot be in `user`"),
        (messages(assistant({"type": "thinking", "thinking": "x", "signature": "y"}), USER), "signature"),
        (
            {**messages(assistant(USE), user(RESULT)), "thinking": THINKING, "max_tokens": 2000},
            "start with a thinking block",
        ),
    ],
)
def test_anthropic_refuses(body, words):
    refusal = refused(AnthropicWire(), body)
    error = msgspec.json.decode(AnthropicWire().error(refusal)[0])
    assert (refusal.status, error["type"], error["error"]["type"]) == (400, "error", "invalid_request_error")
    assert words in error["error"]["message"]


def config(**more: Any) -> dict[str, Any]:
    return gemini_body(generationConfig=more)


def parameters(schema: Any) -> dict[str, Any]:
    whole = {"type": "OBJECT", "properties": {"a": schema}}
    return gemini_body(tools=[{"functionDeclarations": [{"name": "f", "parameters": whole}]}])


def calling(**more: Any) -> dict[str, Any]:
    return gemini_body(tools=GEMINI_TOOLS, toolConfig={"functionCallingConfig": more})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "contents[0].role"),
        ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
        ({"contents": [{"role": "user", "parts": [{}]}]}, "oneof"),
        ({"contents": [{"role": "user", "parts": [{"text": "x", "functionCall": {"name": "f"}}]}]}, "oneof"),
        (gemini_body(max_tokens=3), "maxTokens"),
        (config(maxTokens=3), "maxTokens"),
        (config(temperature=2.5), "temperature"),
        (config(candidateCount=9), "candidateCount"),
        (config(stopSequences=list("abcdef")), "at most 5"),
        (config(responseSchema={"type": "STRING"}), "response_mime_type"),
        (config(logprobs=2), "response_logprobs"),
        (config(thinkingConfig={"thinkingBudget": 1, "thinkingLevel": "LOW"}), "one of"),
        (parameters({"$ref": "#/x"}), "$ref"),
        (parameters({"type": "STRING", "const": "x"}), "const"),
        (parameters({"type": "INTEGER", "exclusiveMinimum": 1}), "exclusiveMinimum"),
        (parameters({"oneOf": [{"type": "STRING"}]}), "oneOf"),
        (parameters({"type": "INTEGER", "enum": [1]}), "enum"),
        (parameters({"type": "STRING", "format": "email"}), "format"),
        (parameters({"type": ["string", "null"]}), "type"),
        (parameters({"type": "ARRAY"}), "items"),
        (parameters({"type": "OBJECT", "required": ["b"]}), "not defined"),
        (gemini_body(tools=OPENAI_TOOLS), "tools[0]"),
        (gemini_body(tools=[{"functionDeclarations": [{"name": "1x"}]}]), "Invalid function name"),
        (calling(mode="AUTO", allowedFunctionNames=["weather"]), "ANY"),
        (calling(mode="ANY", allowedFunctionNames=["x"]), "not declared"),
        ({"contents": [ASK, FUNCTION_CALL]}, "followed by"),
        ({"contents": [ASK, FUNCTION_CALL, ASK]}, "number of function response"),
        ({"contents": [ASK, RESPONSE]}, "number of function response"),
        ({"contents": [FUNCTION_CALL, RESPONSE]}, "immediately after a user turn"),
        (
            {
                "contents": [
                    ASK,
                    {"role": "model", "parts": [{**FUNCTION_CALL["parts"][0], "thoughtSignature": "eA=="}]},
                    RESPONSE,
                ]
            },
            "signature",
        ),
    ],
)
def test_gemini_refuses(body, words):
    refusal = refused(GeminiWire(), body)
    error = msgspec.json.decode(GeminiWire().error(refusal)[0])["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert words in error["message"]


CALLS: Any = {
    "role": "assistant",
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
TOOL: Any = {"role": "tool", "tool_call_id": "c1", "content": "21"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"model": "m", "messages": [USER, TOOL]}, "preceding message"),
        ({"model": "m", "messages": [USER, CALLS]}, "did not have response"),
        ({"model": "m", "messages": [USER, CALLS, USER, TOOL]}, "did not have response"),
        (openai_body(tools=ANTHROPIC_TOOLS), "type"),
        (openai_body(tools=[]), "1 to 128"),
        (openai_body(tools=[{"type": "function", "function": {"name": "a b"}}]), "must match"),
        (openai_body(tool_choice="required"), "only allowed when"),
        (openai_body(tools=OPENAI_TOOLS, tool_choice={"type": "function", "function": {"name": "x"}}), "not found"),
    ],
)
def test_openai_refuses(body, words):
    refusal = refused(OpenAIWire(), body)
    assert refusal.status == 400
    assert words in refusal.message


def test_gemini_takes_both_spellings_of_keys_and_leaves_the_callers_own():
    body = gemini_body(
        generation_config={"max_output_tokens": 5, "response_mime_type": "application/json"},
        tools=[{"function_declarations": [{"name": "f", "parameters_json_schema": {**WEATHER, "x_y": 1}}]}],
    )
    ask = GeminiWire().parse(msgspec.json.encode(body), PATH, "")
    assert ask.max_output_tokens == 5
    assert ask.toolbox.tools[0].schema["x_y"] == 1
