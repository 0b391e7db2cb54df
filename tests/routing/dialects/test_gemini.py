"""Requests on Gemini's wire: the tricky cases that concern it, by their number, each judged by the SDK's types."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from routing.catalog import Model
from routing.dialects.base import Asking, WireRequest
from routing.dialects.gemini_models import UNSIGNED
from tests.routing.dialects.anthropic_wire import assistant, call, json_schema, result, text, tool, user
from tests.routing.dialects.bodies import PDF, PNG, WAV, bodies
from tests.routing.dialects.gemini_wire import FLASH, NEW, OLD, PRO, config, encoded, refused, sent
from tests.routing.dialects.oracles import gemini_request_faults
from tests.routing.dialects.test_nothing_silent import silent_places
from tests.routing.dialects.voices import VOICES, spoken

FAMILIES = {model.id: model for model in (OLD, FLASH, PRO, NEW, Model("google/gemma-3-27b-it"))}
CALLED = [user(), assistant(None, call()), result()]


@pytest.mark.parametrize("model", FAMILIES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(body=bodies())
def test_every_family_gets_what_the_types_allow_and_loses_nothing_in_silence(model, body):
    assert silent_places(VOICES["gemini"], body, FAMILIES[model]) == []
    wire = spoken(VOICES["gemini"], body, FAMILIES[model])
    assert not isinstance(wire, WireRequest) or gemini_request_faults(json.loads(wire.body)) == []


def test_the_path_names_model_and_method():
    whole, stream = encoded(), encoded(stream=True)
    assert isinstance(whole, WireRequest)
    assert isinstance(stream, WireRequest)
    assert whole.path == "/models/gemini-3-flash-preview:generateContent"
    assert stream.path == "/models/gemini-3-flash-preview:streamGenerateContent?alt=sse"


def test_case_1_instructions_keep_their_order():
    left, notes = sent(messages=[{"role": "system", "content": "A"}, {"role": "developer", "content": "B"}, user()])
    assert left["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}]}
    assert left["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
    assert notes == []


def test_case_1_a_model_without_instructions_gets_them_from_the_user():
    left, notes = sent(Model("google/gemma-3-27b-it"), messages=[{"role": "system", "content": "A"}, user()])
    assert left["contents"] == [{"role": "user", "parts": [{"text": "A"}, {"text": "Hi"}]}]
    assert notes == [("messages[0].content", "changed")]


def test_case_2_instructions_in_mid_conversation_keep_their_place():
    left, notes = sent(messages=[user(), assistant("Yes?"), {"role": "system", "content": "Be kind."}, user("Who?")])
    assert left["contents"][2]["parts"] == [{"text": "<system>Be kind.</system>"}, {"text": "Who?"}]
    assert notes == [("messages[2].content", "changed")]


def test_cases_3_and_5_neighbours_are_one_turn_and_blanks_go_with_a_note():
    left, notes = sent(messages=[user("A"), user(" "), user("B")])
    assert left["contents"] == [{"role": "user", "parts": [{"text": "A"}, {"text": "B"}]}]
    assert notes == [("messages[1].content", "dropped")]


def test_case_4_the_user_speaks_first():
    left, notes = sent(messages=[assistant("Hello."), user()])
    assert [content["role"] for content in left["contents"]] == ["user", "model", "user"]
    assert notes == [("messages[0]", "added")]


def test_case_7_a_begun_answer_is_refused_where_the_model_does_not_go_on():
    assert sent(messages=[user(), assistant("It is")])[0]["contents"][1]["role"] == "model"
    model = Model("google/gemini-4-argon", has_prefill=False)
    assert refused(model, messages=[user(), assistant("It is")]) == "messages[1].content"


def test_case_8_results_stand_in_the_order_of_the_calls_before_the_users_words():
    calls = assistant(None, call("a", named="1"), call("b", named="2"))
    left, _ = sent(messages=[user(), calls, result("B", "2"), result("A", "1"), user("Go on")])
    results = [part["functionResponse"] for part in left["contents"][2]["parts"][:2]]
    assert [(found["id"], found["name"], found["response"]) for found in results] == [
        ("1", "a", {"result": "A"}),
        ("2", "b", {"result": "B"}),
    ]
    assert left["contents"][2]["parts"][2] == {"text": "Go on"}


def test_case_9_a_call_without_a_result_and_a_result_without_a_call_do_not_leave():
    assert refused(messages=[user(), assistant(None, call()), user()]) == "messages[1].tool_calls[0]"
    assert refused(messages=[user(), result()]) == "messages[1].tool_call_id"


def test_case_10_ids_leave_only_where_the_model_has_them():
    new, old = (sent(model, messages=CALLED)[0]["contents"] for model in (NEW, FLASH))
    assert new[1]["parts"][0]["functionCall"]["id"] == new[2]["parts"][0]["functionResponse"]["id"] == "call_1"
    assert "id" not in old[1]["parts"][0]["functionCall"]
    assert "id" not in old[2]["parts"][0]["functionResponse"]


def test_case_11_an_image_of_a_result_goes_inside_it_or_behind_it():
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    messages = [user(), assistant(None, call()), result([text("see"), image])]
    blob = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    new, notes = sent(NEW, messages=messages)
    assert new["contents"][2]["parts"][0]["functionResponse"]["parts"] == [blob]
    assert ("messages[2].content[1]", "changed") not in notes
    old, notes = sent(FLASH, messages=messages)
    assert old["contents"][2]["parts"][1] == blob
    assert notes == [("messages[2].content[1]", "changed")]


@pytest.mark.parametrize(
    ("content", "more", "response"),
    [
        ("ok", {}, {"result": "ok"}),
        ('{"a": 1}', {}, {"result": '{"a": 1}'}),
        ("", {}, {"result": ""}),
        ([text("a"), text("b")], {}, {"result": ["a", "b"]}),
        ("no such city", {"is_error": True}, {"error": "no such city"}),
    ],
)
def test_cases_12_and_13_a_result_is_an_object(content, more, response):
    left, _ = sent(messages=[user(), assistant(None, call()), result(content, **more)])
    assert left["contents"][2]["parts"][0]["functionResponse"]["response"] == response


def test_case_14_arguments_leave_as_they_are_written():
    exact = '{"a": 1.0,  "b": 12345678901234567890123, "c": "\\u00e9"}'
    wire = encoded(messages=[user(), assistant(None, call("f", exact)), result()])
    assert isinstance(wire, WireRequest)
    assert exact.encode() in wire.body
    left, notes = sent(FLASH, messages=[user(), assistant(None, call("f", "Paris")), result()])
    assert left["contents"][1]["parts"][0]["functionCall"]["args"] == {"arguments": "Paris"}
    assert notes == [("messages[1].tool_calls[0].function.arguments", "changed")]


def test_case_15_one_call_at_a_time_cannot_be_told():
    assert sent(tools=[tool()], parallel_tool_calls=False)[1] == [("parallel_tool_calls", "dropped")]


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("f")]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("f")]}},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_case_16_choices(choice, calling):
    left, notes = sent(tools=[tool("f"), tool("g")], tool_choice=choice)
    assert left["toolConfig"] == {"functionCallingConfig": calling}
    assert notes == []


def test_case_16_a_model_that_cannot_be_made_to_call_is_passed_over():
    model = Model("google/gemini-4-argon", has_forced_tools=False)
    assert refused(model, tools=[tool()], tool_choice="required") == "tool_choice"
    assert refused(Model("google/gemini-4-argon", has_tools=False), tools=[tool()]) == "tools"


def test_case_17_names_are_turned_into_what_the_wire_takes():
    left, notes = sent(tools=[tool("9lives")], tool_choice={"type": "function", "function": {"name": "9lives"}})
    assert left["tools"][0]["functionDeclarations"][0]["name"] == "tyx_9lives"
    assert left["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["tyx_9lives"]
    assert notes == []
    assert refused(tools=[tool("9" * 64)]) == "tools[0].function.name"


def test_cases_18_and_20_a_schema_leaves_whole_where_the_model_takes_it_so():
    left, notes = sent(NEW, tools=[tool()])
    assert left["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == tool()["function"]["parameters"]
    assert notes == []
    left, notes = sent(OLD, tools=[tool()])
    shown = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
    assert left["tools"][0]["functionDeclarations"][0]["parameters"] == shown
    assert notes == [("tools[0].function.parameters", "changed")]


def test_case_20_strict_functions_are_validated_all_or_none():
    model = Model("google/gemini-4-argon", has_strict_tools=True)
    left, notes = sent(model, tools=[tool("f", strict=True), tool("g")])
    assert left["toolConfig"]["functionCallingConfig"] == {"mode": "VALIDATED"}
    assert notes == [("tools[1].function.strict", "added")]
    left, notes = sent(NEW, tools=[tool("f", strict=True)])
    assert "toolConfig" not in left
    assert notes == [("tools[0].function.strict", "dropped")]


def test_case_21_a_schema_of_the_answer():
    made, notes = config(NEW, response_format=json_schema(strict=True), tools=[tool()])
    assert made["responseMimeType"] == "application/json"
    assert made["responseJsonSchema"]["properties"] == {"city": {"type": "string"}}
    assert notes == []
    assert "responseJsonSchema" in config(OLD, response_format=json_schema(strict=True))[0]
    assert "responseSchema" in config(Model("google/gemini-1.5-pro"), response_format=json_schema(strict=True))[0]


@pytest.mark.parametrize("form", [json_schema(), {"type": "json_object"}])
def test_case_21_beside_functions_older_models_are_told_the_form_in_words(form):
    wire = encoded(FLASH, response_format=form, tools=[tool()])
    assert isinstance(wire, WireRequest)
    assert wire.is_json_told
    left, notes = sent(FLASH, response_format=form, tools=[tool()])
    assert "generationConfig" not in left
    assert "JSON" in left["systemInstruction"]["parts"][-1]["text"]
    assert notes == [("response_format", "changed")]


def test_case_22_json_mode():
    assert config(response_format={"type": "json_object"}) == ({"responseMimeType": "application/json"}, [])


def test_case_23_lengths():
    assert config(max_tokens=9) == ({"maxOutputTokens": 9}, [])
    assert config() == ({}, [])
    assert config(OLD, max_completion_tokens=9_000) == (
        {"maxOutputTokens": 8_000},
        [("max_completion_tokens", "changed")],
    )


def test_case_24_sampling():
    assert config(temperature=1.7, top_p=0.1, top_k=40) == ({"temperature": 1.7, "topP": 0.1, "topK": 40}, [])
    model = Model("google/gemini-3.8-flash", has_sampling=False)
    assert config(model, temperature=1, top_p=0.5) == ({}, [("top_p", "dropped")])


def test_case_25_stops():
    made, notes = config(stop=[*"abcde", "f", "g"])
    assert made["stopSequences"] == [*"abcde"]
    assert notes == [("stop[5]", "dropped"), ("stop[6]", "dropped")]
    assert config(stop="\n")[0] == {"stopSequences": ["\n"]}


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "notes"),
    [
        (NEW, "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}, []),
        (NEW, "high", {"thinkingLevel": "HIGH", "includeThoughts": True}, []),
        (NEW, "none", {"thinkingLevel": "MINIMAL", "includeThoughts": False}, [("reasoning_effort", "changed")]),
        (FLASH, "none", {"thinkingBudget": 0}, []),
        (FLASH, "low", {"thinkingBudget": 1_024, "includeThoughts": True}, []),
        (FLASH, "medium", {"thinkingBudget": 8_192, "includeThoughts": True}, []),
        (PRO, "none", {"thinkingBudget": 128, "includeThoughts": False}, [("reasoning_effort", "changed")]),
        (PRO, "high", {"thinkingBudget": 24_576, "includeThoughts": True}, []),
    ],
)
def test_case_26_efforts(model, effort, thinking, notes):
    assert config(model, reasoning_effort=effort) == ({"thinkingConfig": thinking}, notes)


def test_case_26_levels_follow_the_catalogue():
    model = Model("google/gemini-3.1-pro-preview", reasoning_efforts=frozenset({"low", "high"}))
    made, notes = config(model, reasoning_effort="medium")
    assert made["thinkingConfig"]["thinkingLevel"] == "LOW"
    assert notes == [("reasoning_effort", "changed")]
    assert config(OLD, reasoning_effort="high") == ({}, [("reasoning_effort", "dropped")])


def signed(signature: str, named: str = "call_1") -> dict[str, Any]:
    return {**call(named=named), "extra_content": {"google": {"thought_signature": signature}}}


def test_case_27_signatures_return_as_they_came():
    detail = {"type": "reasoning.encrypted", "data": "dGV4dA==", "format": "google-gemini-v1", "index": 0}
    said = [user(), assistant("Hm.", reasoning_details=[detail]), user(), assistant(None, signed("c2ln-_A")), result()]
    left, notes = sent(messages=said)
    assert left["contents"][1]["parts"] == [{"text": "Hm.", "thoughtSignature": "dGV4dA=="}]
    assert left["contents"][3]["parts"][0]["thoughtSignature"] == "c2ln-_A"
    assert notes == []


def test_case_27_unsigned_calls_of_the_current_turn_say_so():
    calls = assistant(None, call("a", named="1"), call("b", named="2"))
    earlier = [*CALLED, assistant("Done."), user("Again"), calls, result("A", "1"), result("B", "2")]
    left, notes = sent(messages=earlier)
    shown = [
        part.get("thoughtSignature")
        for content in left["contents"]
        for part in content["parts"]
        if "functionCall" in part
    ]
    assert shown == [None, UNSIGNED, None]
    assert notes == [("messages[5].tool_calls[0].extra_content", "added")]
    assert sent(FLASH, messages=earlier)[1] == []


def test_case_28_thoughts_of_others_do_not_go_back():
    detail = {"type": "reasoning.text", "text": "Hm", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
    left, notes = sent(messages=[user(), assistant("Yes", reasoning_details=[detail]), user()])
    assert left["contents"][1]["parts"] == [{"text": "Yes"}]
    assert notes == [("messages[1].reasoning_details[0]", "dropped")]


def part(url: str, **more: Any) -> dict[str, Any]:
    return user([{"type": "image_url", "image_url": {"url": url, **more}}])


def test_case_29_images():
    left, notes = sent(messages=[part(f"data:image/png;base64,{PNG}", detail="low")])
    blob = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    assert left["contents"][0]["parts"] == [{**blob, "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}}]
    assert notes == []
    left, notes = sent(FLASH, messages=[part("https://example.com/a.jpg?b=1", detail="high")])
    file = {"fileData": {"fileUri": "https://example.com/a.jpg?b=1", "mimeType": "image/jpeg"}}
    assert left["contents"][0]["parts"] == [file]
    assert notes == [("messages[0].content[0].image_url.detail", "dropped")]


@pytest.mark.parametrize(
    ("model", "url"),
    [
        (OLD, "https://example.com/a.png"),
        (NEW, "https://example.com/untold"),
        (NEW, "http://example.com/a.png"),
        (NEW, "data:image/gif;base64,R0lGOD"),
        (Model("google/gemini-4-argon", has_vision=False), f"data:image/png;base64,{PNG}"),
    ],
)
def test_case_29_an_image_that_cannot_be_carried_is_never_left_out(model, url):
    assert refused(model, messages=[part(url)]) == "messages[0].content[0]"


def test_case_30_files_and_sound():
    file = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}}
    sound = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}
    left, notes = sent(messages=[user([file, sound])])
    assert [found["inlineData"]["mimeType"] for found in left["contents"][0]["parts"]] == [
        "application/pdf",
        "audio/wav",
    ]
    assert notes == []
    assert refused(messages=[user([{"type": "file", "file": {"file_id": "file-1"}}])]) == "messages[0].content[0]"
    assert refused(Model("m", has_audio=False), messages=[user([sound])]) == "messages[0].content[0]"
    assert refused(Model("m", has_pdf=False), messages=[user([file])]) == "messages[0].content[0]"


def test_case_31_cache_marks_go_with_a_note():
    marked = {**text("Long."), "cache_control": {"type": "ephemeral"}}
    left, notes = sent(messages=[user([marked])], tools=[{**tool(), "cache_control": {"type": "ephemeral"}}])
    assert left["contents"][0]["parts"] == [{"text": "Long."}]
    assert sorted(notes) == [
        ("messages[0].content[0].cache_control", "dropped"),
        ("tools[0].cache_control", "dropped"),
    ]


def test_case_32_the_rest_of_the_body():
    made, notes = config(OLD, n=2, seed=7, presence_penalty=0.5, logprobs=True, top_logprobs=3, user="u")
    assert made == {"candidateCount": 2, "seed": 7, "presencePenalty": 0.5, "responseLogprobs": True, "logprobs": 3}
    assert notes == [("user", "dropped")]
    assert refused(n=9) == "n"
    made, notes = config(NEW, seed=2**40, presence_penalty=0.5, logprobs=True, logit_bias={"1": 2})
    assert made == {}
    assert sorted(notes) == [(field, "dropped") for field in ("logit_bias", "logprobs", "presence_penalty", "seed")]
    assert sent(service_tier="flex")[0]["serviceTier"] == "flex"
    assert sent(service_tier="scale")[1] == [("service_tier", "dropped")]


def test_log_probabilities_for_the_policy_only_where_the_model_has_them():
    asking = Asking(needs_logprobs=True)
    wire = encoded(Model("google/gemini-4-argon", has_logprobs=True), asking)
    assert isinstance(wire, WireRequest)
    assert json.loads(wire.body)["generationConfig"] == {"responseLogprobs": True}
    assert [note.action for note in wire.adaptations] == ["added"]
    wire = encoded(NEW, asking)
    assert isinstance(wire, WireRequest)
    assert "generationConfig" not in json.loads(wire.body)


def test_system_texts_alone_become_the_users():
    left, notes = sent(messages=[{"role": "system", "content": "A"}])
    assert left == {"contents": [{"role": "user", "parts": [{"text": "A"}]}]}
    assert notes == [("messages[0].content", "changed")]
    assert refused(messages=[user(" ")]) == "messages"
