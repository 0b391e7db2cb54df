"""A worker against a mock that others wrote: text, tools, streams and faults on every dialect, and its verdict."""

from typing import Any

import jsonschema
import msgspec
import pytest

from tests.thirdparty.conftest import Mock
from tests.thirdparty.stage import carried, submitted
from tests.workers.lab import Lab

TEXT = 'Grüße aus Köln 🙂, with a "quote"\nand a second line'
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
TOOL = {"type": "function", "function": {"name": "forecast", "description": "Weather ahead", "parameters": PARAMETERS}}


def reply(text: str, dialect: str) -> dict[str, Any]:
    return {"type": "reply", "text": text, "match": {"provider": dialect}}


def fails(status: int, dialect: str) -> dict[str, Any]:
    return {"type": "fail", "status": status, "retry_after": 1, "match": {"provider": dialect}}


def breaks(kind: str, dialect: str) -> dict[str, Any]:
    return {"type": "stream_fault", "kind": kind, "after_chunks": 2, "match": {"provider": dialect, "stream": True}}


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
async def test_a_text_comes_back_to_the_letter_and_its_bill_is_known(
    lab: Lab, mock: Mock, dialect: str, is_stream: bool
):
    mock.script(reply(TEXT, dialect))
    options = {"stream": True, "stream_options": {"include_usage": True}} if is_stream else {}
    job = await submitted(lab, dialect, **options)
    answer = await carried(lab, job)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
    (attempt,) = await lab.attempts(job)
    assert (attempt.outcome, attempt.cost_basis) == ("accepted", "usage")
    assert attempt.input_tokens > 0
    assert attempt.cost_usd > 0


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
async def test_a_tool_is_called_and_its_result_answered(lab: Lab, mock: Mock, dialect: str, is_stream: bool):
    question = {"role": "user", "content": f"What will the weather in {dialect} be? {is_stream}"}
    asked = await carried(lab, await submitted(lab, dialect, question, tools=[TOOL], stream=is_stream))
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert call.function.name == "forecast"
    jsonschema.validate(msgspec.json.decode(call.function.arguments), PARAMETERS)
    mock.script(reply("It will rain.", dialect))
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    told = message.model_dump(exclude_none=True)
    answer = await carried(lab, await submitted(lab, dialect, question, told, result, tools=[TOOL], stream=is_stream))
    assert answer.choices[0].message.content == "It will rain."


async def test_calls_at_once_keep_their_order_and_arguments(lab: Lab, mock: Mock, dialect: str):
    wanted = [{"city": "Bonn", "days": 1}, {"city": 'Sa"o', "days": 2}]
    calls = [{"name": "forecast", "arguments": arguments} for arguments in wanted]
    mock.script({"type": "reply", "tool_calls": calls, "match": {"provider": dialect}})
    question = {"role": "user", "content": f"Compare two cities for {dialect}"}
    answer = await carried(lab, await submitted(lab, dialect, question, tools=[TOOL]))
    called = [call for call in answer.choices[0].message.tool_calls or () if call.type == "function"]
    assert [msgspec.json.decode(call.function.arguments) for call in called] == wanted


@pytest.mark.parametrize(
    ("status", "kinds"),
    [(429, {"rate_limited"}), (503, {"transient", "overloaded"}), (529, {"overloaded"}), (500, {"transient"})],
)
async def test_an_error_is_waited_out_as_long_as_was_asked(
    lab: Lab, mock: Mock, dialect: str, status: int, kinds: set[str]
):
    mock.script(fails(status, dialect), reply("at last", dialect))
    job = await submitted(lab, dialect, {"role": "user", "content": f"Wait {status} for {dialect}"})
    assert (await carried(lab, job)).choices[0].message.content == "at last"
    refused, answered = await lab.attempts(job)
    assert (refused.outcome, refused.status, refused.cost_usd) == ("failed", status, 0)
    assert refused.failure in kinds
    assert answered.outcome == "accepted"


@pytest.mark.parametrize(
    ("fault", "kind"), [("disconnect", "truncated"), ("truncate", "truncated"), ("malformed", "malformed")]
)
async def test_half_a_stream_is_no_answer_and_is_asked_for_again(
    lab: Lab, mock: Mock, dialect: str, fault: str, kind: str
):
    mock.script(breaks(fault, dialect), reply(TEXT, dialect), reply(TEXT, dialect))
    question = {"role": "user", "content": f"Break by {fault} for {dialect}"}
    job = await submitted(lab, dialect, question, stream=True)
    assert (await carried(lab, job)).choices[0].message.content == TEXT
    broken, answered = await lab.attempts(job)
    assert (broken.outcome, broken.failure, broken.cost_usd) == ("failed", kind, None)
    assert answered.outcome == "accepted"


async def test_the_mock_finds_no_fault_with_us(lab: Lab, mock: Mock):
    """Last in the file: it judges the calls of all the tests above, or, alone, one that it makes here."""
    mock.script(fails(503, "anthropic"))
    await carried(lab, await submitted(lab, "anthropic", {"role": "user", "content": "The last one"}))
    verdict = mock.verdict()
    assert verdict["faults_injected"] > 0
    assert verdict["errors"] == 0, mock.report()
