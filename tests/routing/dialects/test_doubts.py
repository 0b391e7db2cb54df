"""Doubted facts: what a 400 teaches, what it does not, and what is done about it for an hour."""

import json
from typing import Any

import pytest

from jobs.chat import ChatRequest
from jobs.failures import Failure, FailureKind
from routing.catalog import Deployment, Model, Target
from routing.dialects.accent_table import ACCENTS, OPENAI
from routing.dialects.accents import Accent
from routing.dialects.base import Asking, Unsupported, WireReply, WireRequest
from routing.dialects.doubts import corrected, doubted, refuted, spoken
from routing.dialects.openai_errors import classify
from routing.dialects.registry import ACCENTED
from tests.routing.dialects.accented import HI, TOOL

UNKNOWN = Model("m/x")
KNOWN = Model("m/x", has_logprobs=True, reasoning_efforts=frozenset({"low"}), has_parallel_tools=True)
JSON = {"response_format": {"type": "json_object"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}


def complains(field: str | None, code: str | None = None) -> Failure:
    return Failure(FailureKind.BAD_REQUEST, "No", status=400, code=code, field=field)


def encoded(accent: str, gone: set[str], asking: Asking = Asking(), **fields: Any) -> WireRequest | Unsupported:  # noqa: B008
    request = ChatRequest.parse(json.dumps({"messages": [HI], **fields}).encode())
    served = Deployment(model="m/x", provider="p", upstream="up")
    return ACCENTED["openai"][accent].encode(request, Target(served, UNKNOWN, accent, frozenset(gone)), asking)


@pytest.mark.parametrize(
    ("accent", "carried", "model", "doubts"),
    [
        (ACCENTS["mistral"], {"prompt_cache_key", "temperature", "seed"}, KNOWN, {"prompt_cache_key"}),
        (ACCENTS["zai"], {"tool_choice", "tools"}, KNOWN, {"tool_choice"}),
        (OPENAI, {"seed", "an_extension"}, KNOWN, {"an_extension"}),
        (OPENAI, {"reasoning_effort", "logprobs", "messages"}, UNKNOWN, {"reasoning_effort", "logprobs"}),
        (OPENAI, {"reasoning_effort", "logprobs", "messages"}, KNOWN, set()),
        (Accent(source="hearsay"), {"seed", "tools", "messages"}, KNOWN, {"seed"}),
    ],
)
def test_doubted_is_what_no_dated_source_knows_of(accent, carried, model, doubts):
    assert doubted(carried, accent, model) == doubts


@pytest.mark.parametrize(
    ("failure", "carried", "field"),
    [
        (complains("verbosity"), {"verbosity": "low"}, "verbosity"),
        (complains("verbosity", "invalid_request_error"), {"verbosity": "low"}, "verbosity"),
        (complains("stop", "unsupported_parameter"), {"stop": ["x"]}, "stop"),
        (complains("temperature", "unsupported_value"), {"temperature": 0.2}, "temperature"),
        (complains("response_format", "not_supported"), {"response_format": SCHEMA}, "response_format.json_schema"),
        (complains("random_seed", "unknown_parameter"), {"seed": 7}, "seed"),
        # What teaches nothing:
        (complains("stop"), {"stop": ["x"]}, None),
        (complains("verbosity", "invalid_value"), {"verbosity": "loud"}, None),
        (complains("temperature", "decimal_above_max_value"), {"temperature": 9}, None),
        (complains("verbosity"), {"seed": 7}, None),
        (complains("messages", "unsupported_parameter"), {"messages": []}, None),
        (complains("verbosity[0]"), {"verbosity": "low"}, None),
        (complains(None, "unsupported_parameter"), {"verbosity": "low"}, None),
        (Failure(FailureKind.TRANSIENT, "No", field="verbosity"), {"verbosity": "low"}, None),
    ],
)  # fmt: skip
def test_what_a_failure_teaches(failure, carried, field):
    assert refuted(failure, carried, ACCENTS["mistral"], {"verbosity"}) == field


def test_a_provider_s_own_field_is_traced_to_what_the_caller_wrote():
    thinking = complains("thinking", "unsupported_parameter")
    assert refuted(thinking, {"reasoning_effort": "high"}, ACCENTS["moonshot"], set()) == "reasoning_effort"
    assert refuted(thinking, {"thinking": {}}, ACCENTS["moonshot"], set()) == "thinking"


def test_only_a_wire_whose_errors_name_the_caller_s_fields_teaches():
    assert spoken("openai", "") is OPENAI
    assert spoken("openai", "zai") is ACCENTS["zai"]
    assert spoken("anthropic", "") is None


@pytest.mark.parametrize("field", ["prompt_cache_key", "verbosity", "thinking", "top_k", "reasoning_effort"])
def test_the_field_of_an_error_is_kept_where_it_is_one_of_a_request(field):
    body = {
        "error": {"message": "no", "type": "invalid_request_error", "param": field, "code": "unsupported_parameter"}
    }
    assert classify(WireReply(400, {}, json.dumps(body).encode())).field == field
    body["error"]["param"] = "Please tell nobody"
    assert classify(WireReply(400, {}, json.dumps(body).encode())).field is None


@pytest.mark.parametrize(
    ("gone", "fields", "left", "told"),
    [
        ({"seed"}, {"seed": 7, "user": "u"}, {"user": "u"}, ["seed"]),
        ({"temperature"}, {"temperature": 0.2}, {}, ["temperature"]),
        ({"stream_options"}, {"stream": True}, {"stream": True}, []),
        ({"reasoning_effort"}, {"reasoning_effort": "high"}, {}, ["reasoning_effort"]),
        ({"tool_choice"}, {"tools": [TOOL], "tool_choice": "auto"}, {"tools": [TOOL], "tool_choice": "auto"}, []),
        ({"response_format.json_schema"}, JSON, JSON, []),
    ],
)  # fmt: skip
def test_what_was_refuted_is_left_out_and_told(gone, fields, left, told):
    wire = encoded("openai", gone, **fields)
    assert isinstance(wire, WireRequest)
    body = json.loads(wire.body)
    assert {key: value for key, value in body.items() if key not in ("messages", "model")} == left
    assert [change.field for change in wire.adaptations] == told


@pytest.mark.parametrize(
    ("gone", "fields", "field"),
    [
        ({"tools"}, {"tools": [TOOL]}, "tools"),
        ({"tool_choice"}, {"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
        ({"n"}, {"n": 2}, "n"),
        ({"web_search_options"}, {"web_search_options": {}}, "web_search_options"),
    ],
)
def test_what_would_change_the_question_asks_another(gone, fields, field):
    wire = encoded("openai", gone, **fields)
    assert isinstance(wire, Unsupported)
    assert wire.field == field


def test_a_refuted_schema_is_asked_for_in_words_and_refuted_logprobs_not_at_all():
    wire = encoded("openai", {"response_format.json_schema"}, response_format=SCHEMA)
    assert isinstance(wire, WireRequest)
    assert json.loads(wire.body)["response_format"] == {"type": "json_object"}
    wire = encoded("openai", {"logprobs"}, Asking(needs_logprobs=True))
    assert isinstance(wire, WireRequest)
    assert "logprobs" not in json.loads(wire.body)
    assert corrected(UNKNOWN, {"seed"}) is UNKNOWN
