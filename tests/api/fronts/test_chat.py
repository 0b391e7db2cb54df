"""The official OpenAI client, unmodified and strict, on the chat completions of a whole yard."""

import asyncio
from typing import Any

import msgspec
import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletionMessageFunctionToolCall

from tests.api.fronts.talk import body, dropped, http, job, said
from tests.api.fronts.upstream import ARGUMENTS, HEAD, TEXT, USAGE
from tests.api.fronts.yard import Yard

WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


class Trip(pydantic.BaseModel):
    city: str
    days: int


def test_an_answer_is_the_providers_own_with_nothing_dropped(client: openai.OpenAI):
    told = client.chat.completions.with_raw_response.create(model="auto", messages=said("hello"))
    answer = told.parse()
    assert list(dropped(answer)) == []
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
    assert (answer.model, answer.id) == (HEAD["model"], HEAD["id"])
    assert answer.usage is not None
    assert answer.usage.model_dump(exclude_none=True) == USAGE


def test_headers_name_the_job_its_route_and_its_cost_and_the_ledger_says_the_same(client: openai.OpenAI, yard: Yard):
    told = client.chat.completions.with_raw_response.create(model="maker/small@lab", messages=said("hello"))
    headers = {name: text for name, text in told.headers.items() if name.startswith("x-tokenyard-")}
    found = job(yard, headers["x-tokenyard-job"])
    assert (found["state"], found["lane"], found["result"]["id"]) == ("succeeded", "interactive", HEAD["id"])
    assert headers == {
        "x-tokenyard-job": found["id"],
        "x-tokenyard-model": "maker/small",
        "x-tokenyard-provider": "lab",
        "x-tokenyard-attempts": "1",
        "x-tokenyard-adaptations": "0",
        "x-tokenyard-cost-usd": found["cost_usd"],
    }
    assert float(found["cost_usd"]) > 0


@pytest.mark.parametrize("asked", [None, False, True])
def test_a_stream_is_what_openai_sends(client: openai.OpenAI, asked: bool | None):
    options: Any = {} if asked is None else {"stream_options": {"include_usage": asked}}
    told = client.chat.completions.with_raw_response.create(
        model="auto", messages=said("hello"), stream=True, **options
    )
    chunks = list(told.parse())
    assert [name for chunk in chunks for name in dropped(chunk)] == []
    *parts, last = chunks if asked else [*chunks, None]
    assert {chunk.id for chunk in parts} == {HEAD["id"]}
    # Where the job's end is heard before its pieces, on a busy machine, the stored answer is told in fewer of them.
    assert "".join(chunk.choices[0].delta.content or "" for chunk in parts) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in parts] == [None] * (len(parts) - 1) + ["stop"]
    assert parts[0].choices[0].delta.role == "assistant"
    assert all(chunk.usage is None for chunk in parts)
    assert all(("usage" in chunk.model_fields_set) is bool(asked) for chunk in parts)
    if last is not None:
        assert last.choices == []
        assert last.usage is not None
        assert last.usage.model_dump(exclude_none=True) == USAGE
    assert told.headers["x-tokenyard-provider"] == "lab"
    assert told.headers["content-type"].startswith("text/event-stream")


def test_a_stream_ends_with_its_cost_in_a_comment_and_done_once_the_job_is_recorded(yard: Yard):
    with http(yard) as plain, plain.stream("POST", "/v1/chat/completions", content=body("hello", stream=True)) as told:
        lines = [line for line in told.iter_lines() if line]
    name = told.headers["x-tokenyard-job"]
    assert lines[-1] == "data: [DONE]"
    found = job(yard, name)
    assert lines[-2] == (
        f": x-tokenyard-job={name} x-tokenyard-attempts=1 x-tokenyard-adaptations={len(found['adaptations'])}"
        f" x-tokenyard-cost-usd={found['cost_usd']}"
    )
    assert found["state"] == "succeeded"
    assert found["result"]["choices"][0]["message"]["content"] == TEXT


def test_tool_calls_come_back_byte_for_byte(client: openai.OpenAI):
    answer = client.chat.completions.create(model="auto", messages=said("tool"), tools=[WEATHER])
    assert list(dropped(answer)) == []
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.tool_calls is not None
    (call,) = answer.choices[0].message.tool_calls
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "weather", ARGUMENTS)


def test_tool_deltas_stream_as_openais(client: openai.OpenAI):
    with client.chat.completions.stream(model="auto", messages=said("tool"), tools=[WEATHER]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds
    assert final.choices[0].message.tool_calls is not None
    (call,) = final.choices[0].message.tool_calls
    assert (call.id, call.function.arguments, final.choices[0].finish_reason) == ("call_1", ARGUMENTS, "tool_calls")


def test_structured_outputs_are_parsed(client: openai.OpenAI):
    answer = client.chat.completions.parse(model="auto", messages=said("json"), response_format=Trip)
    assert answer.choices[0].message.parsed == Trip(city="Köln", days=2)
    with client.chat.completions.stream(model="auto", messages=said("json"), response_format=Trip) as stream:
        list(stream)
        assert stream.get_final_completion().choices[0].message.parsed == Trip(city="Köln", days=2)


async def test_the_async_client_asks_many_at_once(yard: Yard):
    async def stream(client: openai.AsyncOpenAI) -> str:
        chunks = await client.chat.completions.create(model="auto", messages=said("hello"), stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

    async with openai.AsyncOpenAI(
        base_url=yard.base_url, api_key=yard.key, max_retries=0, _strict_response_validation=True
    ) as client:
        plain = [client.chat.completions.create(model="auto", messages=said("hello")) for _ in range(12)]
        answers, streams = await asyncio.gather(
            asyncio.gather(*plain), asyncio.gather(*(stream(client) for _ in range(12)))
        )
    assert [answer.choices[0].message.content for answer in answers] == [TEXT] * 12
    assert streams == [TEXT] * 12


def test_a_cascade_shows_only_the_answer_that_is_taken(client: openai.OpenAI, yard: Yard):
    told = client.chat.completions.with_raw_response.create(model="sure", messages=said("hello"), stream=True)
    chunks = list(told.parse())
    found = job(yard, told.headers["x-tokenyard-job"])
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["rejected", "accepted"]
    assert told.headers["x-tokenyard-model"] == "maker/large"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks].count("stop") == 1


def test_routing_fields_ride_in_the_body_or_in_headers_and_the_body_wins(client: openai.OpenAI, yard: Yard):
    ours = {"task": "t-body", "intent": {"max_cost_usd": "0.5"}, "policy": "patient", "custom_id": "q-1"}
    told = client.chat.completions.with_raw_response.create(
        model="auto",
        messages=said("hello"),
        metadata={"ticket": "42"},
        seed=7,
        extra_body=ours,
        extra_headers={"x-tokenyard-task": "t-header", "x-tokenyard-strict": "true", "x-tokenyard-custom-id": "q-2"},
    )
    found = job(yard, told.headers["x-tokenyard-job"])
    assert (found["task"], found["policy"], found["custom_id"], found["strict"]) == ("t-body", "patient", "q-1", True)
    assert (found["intent"]["max_cost_usd"], found["metadata"]) == ("0.5", {"ticket": "42"})
    asked = yard.upstream.asked[-1]
    assert asked["seed"] == 7
    assert not {*ours, "metadata"} & asked.keys()


def test_models_lists_what_this_key_may_use(client: openai.OpenAI, yard: Yard):
    found = {model.id: model for model in client.models.list()}
    assert found.keys() == {"auto", "patient", "sure", "again", "ill", "maker/small", "maker/large", "maker/ill"}
    assert (found["auto"].owned_by, found["maker/small"].owned_by) == ("tokenyard", "maker")
    extra = found["maker/small"].model_extra or {}
    assert extra["has_tools"] is True
    assert {served["provider"]: served["price"]["input_usd_per_mtok"] for served in extra["deployments"]} == {
        "lab": "1.00",
        "spare": "1.00",
    }
    for name in ("auto", "maker/small", "maker/small@spare", "maker/dark"):
        assert client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("maker/none")
    assert caught.value.code == "model_not_found"
    with http(yard) as plain:
        whole = plain.get("/v1/models", params={"all": "true"}).json()
    assert {entry["id"] for entry in whole["data"]} >= {*found, "maker/dark", "nowhere"}
    assert msgspec.json.encode(whole)
