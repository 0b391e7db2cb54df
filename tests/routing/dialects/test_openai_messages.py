"""Conversations in the OpenAI wire's accents: ids, thoughts, signatures, roles, pictures, legacy functions."""

import json

import pytest

from routing.dialects.openai_messages import wire_id
from tests.routing.dialects.accented import CALLED, FILE, HI, IMAGE, sent, told
from tests.routing.dialects.bodies import PDF


def test_mistral_gets_ids_of_nine_characters_and_a_prefix_to_continue():
    body = sent("mistral", messages=[*CALLED, {"role": "assistant", "content": "So"}])
    call_id = body["messages"][1]["tool_calls"][0]["id"]
    assert (len(call_id), call_id.isalnum()) == (9, True)
    assert body["messages"][2]["tool_call_id"] == call_id
    assert body["messages"][3] == {"role": "assistant", "content": "So", "prefix": True}
    assert told("mistral", messages=CALLED) == []
    assert wire_id("[A-Za-z0-9]{9}", "35bC59XSm") == "35bC59XSm"


def test_openai_takes_ids_of_forty_characters_at_most():
    long = json.loads(json.dumps(CALLED).replace("call_1", "c" * 41))
    assert len(sent("openai", messages=long)["messages"][2]["tool_call_id"]) == 9
    assert sent("openai", messages=CALLED)["messages"] == CALLED


THOUGHTFUL = {
    "role": "assistant",
    "content": "So",
    "reasoning_content": "Hm.",
    "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "index": 0}],
}


@pytest.mark.parametrize(
    ("accent", "left", "adaptations"),
    [
        ("openai", {}, ["reasoning_details", "reasoning_content"]),
        ("deepseek", {"reasoning_content": "Hm."}, ["reasoning_details"]),
        ("groq", {"reasoning": "Hm."}, ["reasoning_details"]),
        ("openrouter", {"reasoning": "Hm.", "reasoning_details": THOUGHTFUL["reasoning_details"]}, []),
    ],
)
def test_thoughts_go_back_where_they_belong(accent, left, adaptations):
    body = sent(accent, messages=[HI, THOUGHTFUL, HI])
    assert body["messages"][1] == {"role": "assistant", "content": "So", **left}
    assert told(accent, messages=[HI, THOUGHTFUL, HI]) == [(f"messages[1].{field}", "dropped") for field in adaptations]


def test_mistrals_thoughts_are_parts_of_the_content():
    content = sent("mistral", messages=[HI, THOUGHTFUL, HI])["messages"][1]["content"]
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    assert content == [thinking, {"type": "text", "text": "So"}]


def test_googles_signatures_go_back_to_google_only():
    signed = json.loads(json.dumps(CALLED))
    signed[1]["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": "c2ln"}}
    assert sent("google", messages=signed)["messages"] == signed
    assert sent("openai", messages=signed)["messages"] == CALLED
    assert told("openai", messages=signed) == [("messages[1].tool_calls[0].extra_content", "dropped")]


def test_roles_names_marks_and_refusals():
    said = [
        {"role": "developer", "content": "Be brief.", "name": "boss"},
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": None, "refusal": "No.", "tool_calls": None, "annotations": []},
        HI,
    ]
    assert sent("openai", messages=said)["messages"] == [
        said[0],
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": None, "refusal": "No."},
        HI,
    ]
    assert sent("groq", messages=said)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "No."},
        HI,
    ]
    assert sent("openrouter", messages=said)["messages"][1] == said[1]
    assert ("messages[0].name", "dropped") in told("groq", messages=said)
    assert ("messages[1].content[0].cache_control", "dropped") in told("groq", messages=said)


def test_a_picture_in_a_tools_result_follows_as_a_user_message():
    seen = [
        *CALLED[:2],
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "A chart:"}, IMAGE]},
    ]
    body = sent("openai", messages=[*seen, HI])
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "user", "user"]
    assert body["messages"][2]["content"] == [{"type": "text", "text": "A chart:"}]
    assert body["messages"][3]["content"] == [IMAGE]
    assert told("openai", messages=seen) == [("messages[2].content[1]", "changed")]


def test_mistral_reads_files_as_documents():
    (part,) = sent("mistral", messages=[{"role": "user", "content": [FILE]}])["messages"][0]["content"]
    assert part == {
        "type": "document_url",
        "document_url": f"data:application/pdf;base64,{PDF}",
        "document_name": "a.pdf",
    }


def test_legacy_functions_are_said_as_tools_where_there_are_none():
    function = {"name": "f", "parameters": {"type": "object", "properties": {}}}
    past = [
        HI,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "ok"},
    ]
    body = sent("deepseek", messages=past, functions=[function], function_call={"name": "f"})
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert body["messages"][2]["tool_call_id"] == body["messages"][1]["tool_calls"][0]["id"]
    assert told("mistral", messages=past, functions=[function]) == [("functions", "changed")]
    assert sent("openai", messages=past, functions=[function])["messages"] == past
