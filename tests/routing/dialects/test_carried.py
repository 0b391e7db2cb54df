"""What providers are known to answer is carried to them, and what nobody knows of is tried."""

import json
from typing import Any

import msgspec
import pytest

from jobs.chat import ChatRequest
from routing.catalog import Catalog, Deployment, Model, Target
from routing.dialects.accents import Accent
from routing.dialects.base import Asking, WireRequest
from routing.dialects.gemini import GeminiDialect
from routing.dialects.openai import OpenAIDialect
from tests.routing.dialects import anthropic_wire, gemini_wire
from tests.routing.dialects.accented import FILE, HI, OTHER, SOUND, TOOL, refused, sent, spoken, told

NAMED = {"type": "function", "function": {"name": "f"}}
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
THOUGHTFUL: list[dict[str, Any]] = [
    HI,
    {"role": "assistant", "content": [THINKING, {"type": "text", "text": "So"}]},
    HI,
]
SPOKEN = [{"role": "assistant", "content": "So", "reasoning_content": "Hm."}, HI]


@pytest.mark.parametrize(
    ("accent", "fields"),
    [
        ("zai", {"tools": [TOOL, OTHER], "tool_choice": NAMED}),
        ("mistral", {"messages": [{"role": "user", "content": [SOUND]}]}),
        ("mistral", {"messages": THOUGHTFUL}),
        ("mistral", {"prompt_cache_key": "tenant-7"}),
        ("xai", {"prompt_cache_key": "tenant-7"}),
        ("xai", {"messages": SPOKEN}),
        ("deepseek", {"tools": [TOOL]}),
        ("zai", {"tools": [TOOL]}),
        ("openrouter", {"prompt_cache_key": "tenant-7", "service_tier": "flex"}),
    ],
)
def test_what_is_answered_is_carried(accent, fields):
    assert sent(accent, **fields) == fields
    assert told(accent, **fields) == []


def test_mistral_reads_documents_for_models_that_do_not():
    blind = Model("mistral/mistral-medium", has_pdf=False)
    body = sent("mistral", blind, messages=[{"role": "user", "content": [FILE]}])
    assert body["messages"][0]["content"][0]["type"] == "document_url"
    assert refused("openai", blind, messages=[{"role": "user", "content": [FILE]}]) == "messages[0].content[0]"
    deployments = [Deployment(model=blind.id, provider=name, upstream="x") for name in ("mistral", "other")]
    catalog = Catalog.of([blind], deployments)
    assert [catalog.model_at(deployment).has_pdf for deployment in deployments] == [None, False]


def test_an_accent_of_which_nobody_looked_tries_every_field():
    dialect = OpenAIDialect(Accent(source="hearsay"))
    body = {"messages": [HI], "seed": 7, "verbosity": "low", "top_k": 4, "n": 2, "store": True}
    target = Target(Deployment(model="m/x", provider="p", upstream="up"), Model("m/x"))
    wire = dialect.encode(ChatRequest.parse(json.dumps(body).encode()), target, Asking())
    assert isinstance(wire, WireRequest)
    assert json.loads(wire.body) == {**body, "model": "up"}


def test_the_model_s_own_words_for_an_effort_are_tried_where_the_provider_s_are_others():
    kimi = Model("moonshotai/kimi-k3", reasoning_efforts=frozenset({"low", "high", "max"}))
    assert sent("moonshot", kimi, reasoning_effort="high") == {"reasoning_effort": "high"}
    assert told("moonshot", kimi, reasoning_effort="high") == []


def test_claude_keeps_an_effort_beside_a_forced_call():
    left, notes = anthropic_wire.sent(
        anthropic_wire.NEW, tools=[anthropic_wire.tool()], tool_choice="required", reasoning_effort="high"
    )
    assert left["output_config"] == {"effort": "high"}
    assert left["tool_choice"] == {"type": "any"}
    assert notes == [("reasoning_effort", "changed")]


def test_gemini_2_0_takes_the_answer_s_schema_as_it_is():
    form = anthropic_wire.json_schema(strict=True)
    made, notes = gemini_wire.config(gemini_wire.OLD, response_format=form)
    assert made["responseJsonSchema"] == {"title": "answer", **anthropic_wire.SCHEMA}
    assert notes == []


@pytest.mark.parametrize(("provider", "left"), [("vertex", {"responseLogprobs": True, "logprobs": 3}), ("google", {})])
def test_log_probabilities_of_gemini_are_to_be_had_at_vertex(provider, left):
    served = Deployment(model="google/gemini-2.5-flash", provider=provider, upstream="gemini-2.5-flash")
    request = ChatRequest.parse(msgspec.json.encode({"messages": [HI], "logprobs": True, "top_logprobs": 3}))
    wire = GeminiDialect().encode(request, Target(served, Model(served.model)), Asking())
    assert isinstance(wire, WireRequest)
    assert json.loads(wire.body).get("generationConfig", {}) == left


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ({"type": "video_url", "video_url": {"url": "https://x.test/a.mov"}}, {"mimeType": "video/mov"}),
        ({"type": "video_url", "video_url": {"url": "https://x.test/clip"}}, {"mimeType": "video/mp4"}),
        ({"type": "audio_url", "audio_url": "https://x.test/a.wav"}, {"mimeType": "audio/wav"}),
        ({"type": "audio_url", "audio_url": {"url": "https://x.test/clip"}}, {"mimeType": "audio/mp3"}),
        ({"type": "file", "file": {"file_data": "https://x.test/a.mp3"}}, {"mimeType": "audio/mp3"}),
        ({"type": "video_url", "video_url": {"url": "https://youtu.be/x"}}, {}),
    ],
)
def test_gemini_fetches_sound_and_video(part, file):
    left, notes = gemini_wire.sent(messages=[{"role": "user", "content": [part]}])
    data = left["contents"][0]["parts"][0]["fileData"]
    assert {key: value for key, value in data.items() if key != "fileUri"} == file
    assert notes == []
    if part["type"] != "file":
        assert anthropic_wire.refused(messages=[{"role": "user", "content": [part]}]) == "messages[0].content[0]"


def test_media_as_data_and_media_that_is_none():
    part = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}
    left, _ = gemini_wire.sent(messages=[{"role": "user", "content": [part]}])
    assert left["contents"][0]["parts"] == [{"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}]
    for nonsense in (7, {"url": 7}, {}):
        odd = [{"role": "user", "content": [{"type": "audio_url", "audio_url": nonsense}]}]
        assert gemini_wire.refused(messages=odd).startswith("messages[0].content[0]")
    bucket = {"type": "video_url", "video_url": {"url": "gs://bucket/a.mp4"}}
    assert gemini_wire.refused(messages=[{"role": "user", "content": [bucket]}]) == "messages[0].content[0]"
    assert isinstance(spoken("vllm", messages=[{"role": "user", "content": [bucket]}]), WireRequest)


LASTING = {"type": "ephemeral", "ttl": "1h"}
MARK = {"type": "ephemeral"}


def marked(text: str, mark: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text, "cache_control": mark}]}


def test_a_cache_mark_of_the_request_reaches_anthropic():
    left, notes = anthropic_wire.sent(cache_control=LASTING)
    assert left["cache_control"] == LASTING
    assert notes == []


def test_it_counts_as_the_last_of_four_marks_and_lives_no_longer_than_those_before_it():
    turns = [marked(str(place), MARK) for place in range(4)]
    answered = [message for turn in turns for message in (turn, {"role": "assistant", "content": "So"})]
    left, notes = anthropic_wire.sent(messages=[*answered, HI], cache_control=LASTING)
    assert left["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert json.dumps(left).count('"cache_control"') == 4
    assert notes == [("messages[0].content[0].cache_control", "dropped"), ("cache_control.ttl", "changed")]


def test_it_gives_way_to_a_mark_of_the_last_block():
    left, notes = anthropic_wire.sent(messages=[marked("Hi", LASTING)], cache_control=MARK)
    assert "cache_control" not in left
    assert notes == [("cache_control", "dropped")]


def test_elsewhere_a_cache_mark_of_the_request_is_told():
    assert sent("openrouter", cache_control=MARK) == {"cache_control": MARK}
    for accent in ("openai", "deepseek", "dashscope", "anthropic"):
        assert sent(accent, cache_control=MARK) == {}
        assert told(accent, cache_control=MARK) == [("cache_control", "dropped")]
    left, notes = gemini_wire.sent(cache_control=MARK)
    assert "cache_control" not in left
    assert notes == [("cache_control", "dropped")]
    _, notes = anthropic_wire.sent(cache_control={"type": "forever"})
    assert notes == [("cache_control", "dropped")]
