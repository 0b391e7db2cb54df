"""What rides in a chat completion is taken out of it; the rest stays byte for byte, and a mistake names its field."""

from typing import Any

import pytest

from api.fronts.asked import read_asked, wants_usage
from api.problems import Problem

MESSAGES = b'"messages" : [ {"role":"user", "content":"\\u00e9\\u0000"} ]'


def test_a_body_without_fields_of_ours_is_the_request_byte_for_byte():
    raw = b' {"x": 1.10, "big": 123456789012345678901234567890 ,' + MESSAGES + b"}\n"
    assert read_asked(raw, {}).request.raw == raw


def test_our_fields_are_taken_out_and_each_other_value_stays_as_it_was_written():
    raw = b'{"task": "t", "x": 1.10, ' + MESSAGES + b', "intent": {"max_cost_usd": 0.10}, "strict" :true, "e": 1E2}'
    wish = read_asked(raw, {})
    assert wish.request.raw == b'{"x":1.10,"messages":[ {"role":"user", "content":"\\u00e9\\u0000"} ],"e":1E2}'
    assert (wish.envelope.task, wish.envelope.strict) == ("t", True)
    assert wish.envelope.intent is not None
    assert str(wish.envelope.intent.max_cost_usd) == "0.10"
    assert not {"task", "intent", "strict"} & wish.request.body.keys()


def test_headers_fill_in_what_the_body_does_not_say():
    headers = {
        "x-tokenyard-task": "from header",
        "x-tokenyard-policy": "support",
        "x-tokenyard-intent": '{"max_latency_ms": 800}',
        "x-tokenyard-strict": "true",
        "x-tokenyard-deadline": "2026-12-01T00:00:00Z",
        "x-tokenyard-custom-id": "q-1",
        "x-tokenyard-webhook": "wh_1",
    }
    raw = b'{"task": "from body", ' + MESSAGES + b"}"
    told = read_asked(raw, headers).envelope
    assert (told.task, told.policy, told.custom_id, told.webhook) == ("from body", "support", "q-1", "wh_1")
    assert told.intent is not None
    assert (told.intent.max_latency_ms, told.strict, str(told.deadline)) == (800, True, "2026-12-01 00:00:00+00:00")


@pytest.mark.parametrize(("store", "leaves"), [(b"", False), (b',"store":false', False), (b',"store":true', True)])
def test_metadata_is_the_jobs_and_the_providers_only_where_it_stores(store: bytes, leaves: bool):
    wish = read_asked(b'{"metadata": {"a": "b"},' + MESSAGES + store + b"}", {})
    assert wish.envelope.metadata == {"a": "b"}
    assert (b"metadata" in wish.request.raw) is ("metadata" in wish.request.body) is leaves


@pytest.mark.parametrize(
    ("options", "asked"),
    [(b"", False), (b',"stream_options":null', False), (b',"stream_options":{"include_usage":true}', True)],
)
def test_usage_is_told_to_who_asks(options: bytes, asked: bool):
    assert wants_usage(read_asked(b'{"stream":true,' + MESSAGES + options + b"}", {})) is asked


WRONG: list[tuple[bytes, dict[str, str], str, str | None]] = [
    (b"[]", {}, "invalid_value", None),
    (b"{", {}, "invalid_json", None),
    (b'{"model": "auto"}', {}, "invalid_value", "messages"),
    (b'{"model": "auto", "messages": [{"role": "nobody"}]}', {}, "invalid_value", "messages[0].role"),
    (b'{"model": 1,' + MESSAGES + b"}", {}, "invalid_value", "model"),
    (b'{"n": 0,' + MESSAGES + b"}", {}, "invalid_value", "n"),
    (b'{"task": 7,' + MESSAGES + b"}", {}, "invalid_value", "task"),
    (b'{"intent": {"cheap": true},' + MESSAGES + b"}", {}, "unknown_field", "intent.cheap"),
    (b'{"intent": {"max_cost_usd": "1e99"},' + MESSAGES + b"}", {}, "invalid_value", "intent.max_cost_usd"),
    (b'{"metadata": {"a": 1},' + MESSAGES + b"}", {}, "invalid_value", "metadata[...]"),
    (b'{"lane": "bulk",' + MESSAGES + b"}", {}, "unknown_field", "lane"),
    (b'{"stream_options": {"include_usage": true},' + MESSAGES + b"}", {}, "invalid_value", "stream_options"),
    (b'{"stream": true, "stream_options": [],' + MESSAGES + b"}", {}, "invalid_value", "stream_options"),
    (b"{" + MESSAGES + b"}", {"x-tokenyard-intent": "cheap"}, "invalid_json", "x-tokenyard-intent"),
    (b"{" + MESSAGES + b"}", {"x-tokenyard-strict": "maybe"}, "invalid_json", "x-tokenyard-strict"),
    (b"{" + MESSAGES + b"}", {"x-tokenyard-strict": "1"}, "invalid_value", "strict"),
    (b"{" + MESSAGES + b"}", {"x-tokenyard-deadline": "soon"}, "invalid_value", "deadline"),
    (b'{"task": "a", "task": "b",' + MESSAGES + b"}", {}, "duplicate_key", None),
]


@pytest.mark.parametrize(("raw", "headers", "code", "param"), WRONG)
def test_a_mistake_names_the_field_as_its_writer_knows_it(
    raw: bytes, headers: dict[str, str], code: str, param: str | None
):
    with pytest.raises(Problem) as caught:
        read_asked(raw, headers)
    problem: Any = caught.value
    assert (problem.code, problem.param) == (code, param)
    assert "request" not in problem.message
