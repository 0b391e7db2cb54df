"""LangChain's ChatOpenAI, unmodified, on the front door of a whole yard."""

from typing import Any

import msgspec
import openai
import pydantic
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.api.fronts.talk import job
from tests.api.fronts.upstream import ARGUMENTS, HEAD, TEXT
from tests.api.fronts.yard import Yard

COUNTED = {
    "input_tokens": 9,
    "output_tokens": 6,
    "total_tokens": 15,
    "input_token_details": {"audio": 0, "cache_read": 4},
    "output_token_details": {"audio": 0, "reasoning": 2},
}
"""The provider's usage as LangChain calls its kinds."""


class Trip(pydantic.BaseModel):
    """Where to, and for how long."""

    city: str
    days: float


class weather(Trip):  # noqa: N801 - LangChain names the tool after its class
    """The weather of the next days."""


@pytest.fixture
def model(yard: Yard) -> ChatOpenAI:
    return chat(yard)


def chat(yard: Yard, **more: Any) -> ChatOpenAI:
    """It retries by itself unless told otherwise, as its users have it: nothing here may need that."""
    wanted: dict[str, Any] = {"model": "auto", "api_key": yard.key, "base_url": yard.base_url, "timeout": 30}
    return ChatOpenAI(**wanted | more)


def test_invoke_gives_the_answer_its_usage_and_our_headers(yard: Yard):
    asking = chat(yard, include_response_headers=True, extra_body={"task": "by-langchain"})
    answer = asking.invoke([("system", "Be kind."), ("human", "hello")])
    told = answer.response_metadata
    assert (answer.content, answer.usage_metadata) == (TEXT, COUNTED)
    assert (told["model_name"], told["id"], told["finish_reason"]) == (HEAD["model"], HEAD["id"], "stop")
    found = job(yard, told["headers"]["x-tokenyard-job"])
    assert (found["state"], found["task"]) == ("succeeded", "by-langchain")
    assert told["headers"]["x-tokenyard-cost-usd"] == found["cost_usd"]


@pytest.mark.parametrize("counted", [True, False])
def test_a_stream_adds_up_to_the_answer_with_usage_where_asked_for(yard: Yard, counted: bool):
    pieces = list(chat(yard, stream_usage=counted).stream("hello"))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    assert sum(bool(piece.content) for piece in pieces) > 1
    assert (whole.content, whole.usage_metadata) == (TEXT, COUNTED if counted else None)
    assert whole.response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_goes_back_under_its_id(yard: Yard, streamed: bool):
    bound = chat(yard, streaming=streamed).bind_tools([weather])
    talk: list[BaseMessage] = [HumanMessage("tool")]
    called = bound.invoke(talk)
    assert isinstance(called, AIMessage)
    (call,) = called.tool_calls
    wanted = msgspec.json.decode(ARGUMENTS)
    assert (call["id"], call["name"], call["args"]) == ("call_1", "weather", wanted)
    talk += [called, ToolMessage("21 degrees", tool_call_id=call["id"])]
    assert bound.invoke(talk).content == TEXT
    *_, spoken, result = yard.upstream.asked[-1]["messages"]
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", "call_1", "21 degrees")
    assert msgspec.json.decode(spoken["tool_calls"][0]["function"]["arguments"]) == wanted


@pytest.mark.parametrize(
    ("words", "schema", "method", "days"),
    [("json", Trip, "json_schema", 2), ("json", Trip, "json_mode", 2), ("tool", weather, "function_calling", 2.5)],
)
def test_structured_output_is_an_object_of_the_schema(
    model: BaseChatModel, words: str, schema: type[Trip], method: str, days: float
):
    assert model.with_structured_output(schema, method=method).invoke(words) == schema(city="Köln", days=days)


async def test_batches_ask_many_at_once(model: ChatOpenAI):
    asked = ["hello"] * 8
    assert [answer.content for answer in model.batch(list(asked))] == [TEXT] * 8
    assert [answer.content for answer in await model.abatch(list(asked))] == [TEXT] * 8


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("changes", "error", "status", "code"),
    [
        ({"api_key": "ty_none_none"}, openai.AuthenticationError, 401, "invalid_api_key"),
        ({"model": "maker/none"}, openai.NotFoundError, 404, "model_not_found"),
        (
            {"extra_body": {"intent": {"require": {"region": "moon"}}}},
            openai.UnprocessableEntityError,
            422,
            "intent_infeasible",
        ),
    ],
)
def test_an_error_is_openais_class(
    yard: Yard, changes: dict[str, Any], error: type[openai.APIStatusError], status: int, code: str, streamed: bool
):
    with pytest.raises(error) as caught:
        chat(yard, streaming=streamed, **changes).invoke("hello")
    assert (caught.value.status_code, caught.value.code) == (status, code)


def test_a_job_that_failed_is_not_sent_again_by_its_retries(yard: Yard):
    before = yard.upstream.calls_of("500")
    with pytest.raises(openai.InternalServerError) as caught:
        chat(yard, model="maker/ill@sick", max_retries=2).invoke("500")
    body: Any = caught.value.body
    found = job(yard, body["job"])
    assert (found["state"], caught.value.code) == ("failed", "transient")
    assert yard.upstream.calls_of("500") - before == len(found["attempts"]) > 0
