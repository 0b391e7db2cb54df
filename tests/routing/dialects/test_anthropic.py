"""The Anthropic wire, request by request: each case of wire-formats 2.6 that concerns it, by its number."""

from typing import Any

import msgspec
import pytest

from routing.catalog import Model
from routing.dialects.anthropic import VERSION
from routing.dialects.base import WireRequest
from tests.routing.dialects.anthropic_wire import (
    DIALECT,
    NEW,
    OLD,
    PLAIN,
    Body,
    assistant,
    call,
    encoded,
    json_schema,
    refused,
    result,
    sent,
    text,
    tool,
    user,
)
from tests.routing.dialects.test_parts import PNG


def test_a_plain_request_and_its_door():
    wire = encoded(messages=[{"role": "system", "content": "Be brief."}, user()], max_tokens=50)
    assert isinstance(wire, WireRequest)
    assert (wire.path, wire.is_stream, wire.adaptations) == ("/v1/messages", False, ())
    assert wire.headers["anthropic-version"] == VERSION
    assert DIALECT.key_headers("sk") == {"x-api-key": "sk"}
    assert msgspec.json.decode(wire.body) == {
        "model": "claude-x",
        "max_tokens": 50,
        "system": [text("Be brief.")],
        "messages": [{"role": "user", "content": [text("Hi")]}],
    }


def test_a_streamed_request():
    wire = encoded(stream=True, stream_options={"include_usage": True, "include_obfuscation": True}, max_tokens=5)
    assert isinstance(wire, WireRequest)
    assert wire.is_stream
    assert wire.headers["accept"] == "text/event-stream"
    assert [note.field for note in wire.adaptations] == ["stream_options.include_obfuscation"]
    assert msgspec.json.decode(wire.body)["stream"] is True


def test_case_1_instructions_are_blocks_in_their_order():
    body, notes = sent(messages=[{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, user()])
    assert body["system"] == [text("a"), text("b")]
    assert notes == []


def test_case_2_instructions_in_mid_conversation_are_folded_with_a_note():
    body, notes = sent(messages=[user("a"), assistant("b"), {"role": "system", "content": "c"}, user("d")])
    assert body["messages"][2]["content"] == [text("<system>c</system>"), text("d")]
    assert notes == [("messages[2].content", "changed")]


def test_case_2_instructions_in_mid_conversation_stay_where_the_model_takes_them():
    able = msgspec.structs.replace(PLAIN, has_mid_system=True)
    late = {"role": "system", "content": "c"}
    body, notes = sent(able, messages=[user("a"), late, assistant("b"), user("d"), late])
    assert [message["role"] for message in body["messages"]] == ["user", "system", "assistant", "user", "system"]
    assert body["messages"][1]["content"] == [text("c")]
    assert notes == []
    body, notes = sent(able, messages=[user("a"), assistant("b"), late, user("d")])
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert notes == [("messages[2].content", "changed")]


def test_instructions_alone_become_the_user_s_message():
    body, notes = sent(messages=[{"role": "system", "content": "Write a poem."}])
    assert body["messages"] == [{"role": "user", "content": [text("Write a poem.")]}]
    assert "system" not in body
    assert notes == [("messages[0].content", "changed")]


def test_case_3_neighbours_of_one_role_are_merged():
    body, notes = sent(messages=[user("a"), user("b")])
    assert body["messages"] == [{"role": "user", "content": [text("a"), text("b")]}]
    assert notes == []


def test_case_4_the_user_speaks_first():
    body, notes = sent(messages=[assistant("Welcome"), user()])
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert notes == [("messages[0]", "added")]


def test_case_5_blank_texts_leave_with_a_note_and_nothing_at_all_is_refused():
    body, notes = sent(messages=[user("a"), assistant(""), user([text(" "), text("b")])])
    assert body["messages"] == [{"role": "user", "content": [text("a"), text("b")]}]
    assert notes == [("messages[1]", "dropped"), ("messages[2].content[0]", "dropped")]
    assert refused(messages=[user("  ")]) == "messages"


def test_case_6_and_7_an_answer_begun_for_the_model():
    body, notes = sent(OLD, messages=[user(), assistant("The answer is ( ")])
    assert body["messages"][-1] == {"role": "assistant", "content": [text("The answer is (")]}
    assert notes == [("messages[1].content", "changed")]
    assert refused(NEW, messages=[user(), assistant("The")]) == "messages[1].content"
    assert refused(OLD, messages=[user(), assistant("The")], response_format=json_schema()) == "messages[1].content"


def test_case_8_results_are_one_message_results_first_in_the_order_of_the_calls():
    body, notes = sent(
        tools=[tool()],
        messages=[
            user(),
            assistant(None, call(named="a"), call(named="b")),
            result("2", "b"),
            result("1", "a"),
            user("Go on"),
        ],
    )
    assert body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "tool_use", "id": "b", "name": "f", "input": {}},
    ]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {"type": "tool_result", "tool_use_id": "b", "content": "2"},
        text("Go on"),
    ]
    assert notes == []


def test_case_9_lost_halves_are_refused_before_sending():
    assert refused(messages=[user(), result()]) == "messages[1].tool_call_id"
    assert refused(tools=[tool()], messages=[user(), assistant(None, call()), user()]) == "messages[1].tool_calls[0]"


@pytest.mark.parametrize("named", ["functions.f:0", "call 1", "call_1", "é"])
def test_case_10_ids_keep_to_the_pattern_and_stay_apart(named: str):
    messages = [user(), assistant(None, call(named=named)), result("1", named)]
    messages += [assistant(None, call(named=named)), result("2", named)]
    body, notes = sent(tools=[tool()], messages=messages)
    uses = [block["id"] for message in body["messages"] for block in message["content"] if block["type"] == "tool_use"]
    results = [block["tool_use_id"] for message in body["messages"] for block in message["content"]
               if block["type"] == "tool_result"]  # fmt: skip
    assert uses == results
    assert len(set(uses)) == 2
    assert all(named.isascii() and named.replace("_", "").replace("-", "").isalnum() for named in uses if named != "_")
    assert notes == []


def test_case_11_and_12_results_with_images_and_errors():
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    body, _ = sent(
        tools=[tool()],
        messages=[
            user(),
            assistant(None, call(named="a"), call(named="b")),
            result([text("see"), image], "a"),
            result("", "b", is_error=True),
        ],
    )
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [text("see"), {"type": "image", "source": source}]},
        {"type": "tool_result", "tool_use_id": "b", "is_error": True},
    ]


@pytest.mark.parametrize(
    ("model", "caps", "wire", "noted"),
    [
        (PLAIN, {}, 8_000, []),
        (Model("m"), {}, 4096, [("max_tokens", "added")]),
        (PLAIN, {"max_tokens": 5}, 5, []),
        (PLAIN, {"max_completion_tokens": 6}, 6, []),
        (PLAIN, {"max_completion_tokens": 6, "max_tokens": 5}, 6, [("max_tokens", "dropped")]),
        (PLAIN, {"max_tokens": 9_000}, 8_000, [("max_tokens", "changed")]),
    ],
)
def test_case_23_a_bound_is_always_sent(model: Model, caps: Body, wire: int, noted: list[tuple[str, str]]):
    body, notes = sent(model, **caps)
    assert body["max_tokens"] == wire
    assert notes == noted


@pytest.mark.parametrize(
    ("stop", "wire", "noted"),
    [
        ("END", ["END"], []),
        (["a", "\n"], ["a"], [("stop[1]", "dropped")]),
        ("\n", None, [("stop", "dropped")]),
        ([], None, []),
    ],
)
def test_case_25_stops(stop: Any, wire: list[str] | None, noted: list[tuple[str, str]]):
    body, notes = sent(stop=stop)
    assert body.get("stop_sequences") == wire
    assert notes == noted


def test_case_29_images():
    def image(url: str, **more: Any) -> Body:
        return {"type": "image_url", "image_url": {"url": url, **more}}

    body, notes = sent(messages=[user([image("https://x/y.png", detail="low")])])
    assert body["messages"][0]["content"] == [{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]
    assert notes == [("messages[0].content[0].image_url.detail", "dropped")]
    assert refused(messages=[user([image("data:image/tiff;base64,SUkq")])]) == "messages[0].content[0]"
    blind = msgspec.structs.replace(PLAIN, has_vision=False)
    assert refused(blind, messages=[user([text("a"), image("https://x/y.png")])]) == "messages[0].content[1]"


def test_case_30_files_are_documents_and_sound_is_refused():
    def file(**given: Any) -> Body:
        return {"type": "file", "file": given}

    pdf = file(file_data="data:application/pdf;base64,JVBERi0x", filename="a.pdf")
    body, notes = sent(
        messages=[user([pdf, file(file_data="https://x/a.pdf"), file(file_data="data:text/csv;base64,YSxi")])]
    )
    assert body["messages"][0]["content"] == [
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}},
    ]
    assert notes == []
    sound = {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}
    for part in (sound, file(file_id="file-1"), file(file_data="data:text/plain;base64,/w=="), file(file_data="AAAA")):
        assert refused(messages=[user([part])]) == "messages[0].content[0]"
    blind = msgspec.structs.replace(PLAIN, has_pdf=False)
    assert refused(blind, messages=[user([pdf])]) == "messages[0].content[0]"


def test_case_31_cache_marks_at_most_four_longer_ones_first():
    def marked(ttl: str | None = None) -> Body:
        return {"cache_control": {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}}

    body, notes = sent(
        tools=[{**tool(), **marked("1h")}],
        messages=[
            {"role": "system", "content": [{**text("s"), **marked("1h")}]},
            user([{**text("a"), **marked("5m")}, {**text("b"), **marked()}]),
            assistant("c"),
            user([{**text("d"), **marked("1h")}]),
        ],
    )
    assert "cache_control" not in body["tools"][0]
    assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    first, second = body["messages"][0]["content"]
    assert first["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert second["cache_control"] == {"type": "ephemeral"}
    assert body["messages"][2]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert notes == [
        ("tools[0].cache_control", "dropped"),
        ("messages[3].content[0].cache_control.ttl", "changed"),
    ]


def test_case_31_openai_s_own_marks():
    mark = {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}
    body, notes = sent(messages=[user([{**text("a"), **mark}])])
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert notes == [("messages[0].content[0].prompt_cache_breakpoint.ttl", "changed")]


def test_case_32_what_has_no_place():
    body, notes = sent(
        user="u-1", safety_identifier="s-1", service_tier="default", seed=1, logprobs=True, presence_penalty=0.5, n=1
    )
    assert body["metadata"] == {"user_id": "u-1"}
    assert body["service_tier"] == "standard_only"
    assert [field for field, _ in notes] == ["safety_identifier", "seed", "logprobs", "presence_penalty"]
    assert refused(n=2) == "n"
    assert sent(service_tier="priority")[1] == [("service_tier", "dropped")]
    assert sent(user="u" * 300)[1] == [("user", "dropped")]
