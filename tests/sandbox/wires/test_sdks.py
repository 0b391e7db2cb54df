"""Each official SDK drives its wire: text, tools and their results, structured output, streams, thoughts, errors."""

from collections.abc import Iterator
from typing import Any

import anthropic
import jsonschema
import msgspec
import openai
import pytest
from google import genai
from google.genai import errors, types

from .bodies import ANTHROPIC_TOOLS, GEMINI_TOOLS, OPENAI_TOOLS, ORDER, SMALL, anthropic_body, openai_body

BOUND_S = 20.0
QUESTION = "How do I activate my card?"


@pytest.fixture(scope="module")
def task(small) -> str:
    return "Answer with one of: " + ", ".join(small.labels)


@pytest.fixture(autouse=True)
def faultless(client: Any) -> Any:
    return client


@pytest.fixture
def arm(client):
    def posted(**fault):
        assert client.post("/_sandbox/faults", json={"faults": [fault]}).status_code == 200

    return posted


@pytest.fixture(scope="module")
def openai_sdk(provider) -> Iterator[Any]:
    url = f"{provider.url}/v1"
    with openai.OpenAI(
        base_url=url, api_key="any", max_retries=0, timeout=BOUND_S, _strict_response_validation=True
    ) as made:
        yield made


@pytest.fixture(scope="module")
def anthropic_sdk(provider) -> Iterator[Any]:
    url = f"{provider.url}/anthropic"
    with anthropic.Anthropic(
        base_url=url, api_key="any", max_retries=0, timeout=BOUND_S, _strict_response_validation=True
    ) as made:
        yield made


@pytest.fixture(scope="module")
def gemini_sdk(provider) -> Iterator[Any]:
    options = types.HttpOptions(base_url=f"{provider.url}/gemini", api_version="v1beta", timeout=int(BOUND_S * 1000))
    with genai.Client(api_key="any", http_options=options) as made:
        yield made


def gemini_config(**more: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True), **more
    )


class TestAnthropic:
    def test_it_sorts_a_question(self, anthropic_sdk, task):
        message = anthropic_sdk.messages.create(**anthropic_body(QUESTION, system=task))
        assert [block.text for block in message.content] == ["activate_my_card"]
        assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 3)

    def test_a_stream_is_the_same_message_event_by_event(self, anthropic_sdk, task):
        body = anthropic_body(QUESTION, system=task)
        with anthropic_sdk.messages.stream(**body) as stream:
            kinds = [event.type for event in stream]
            message = stream.get_final_message()
        whole = anthropic_sdk.messages.create(**body)
        assert (message.content[0].text, message.usage) == (whole.content[0].text, whole.usage)
        assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")

    def test_a_call_its_result_and_the_sentence_that_quotes_it(self, anthropic_sdk):
        body = anthropic_body("Use the tool order", tools=ANTHROPIC_TOOLS)
        asked = anthropic_sdk.messages.create(**body)
        (call,) = asked.content
        jsonschema.validate(call.input, ORDER)
        assert (call.name, asked.stop_reason) == ("order", "tool_use")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "order 17 is placed"}
        body["messages"] += [asked.to_param(), {"role": "user", "content": [result]}]
        told = anthropic_sdk.messages.create(**body)
        assert told.content[0].text == "The tool order gave back: order 17 is placed"

    def test_a_streamed_call_has_the_arguments_of_the_whole_one(self, anthropic_sdk):
        body = anthropic_body("x", tools=ANTHROPIC_TOOLS, tool_choice={"type": "tool", "name": "order"})
        with anthropic_sdk.messages.stream(**body) as stream:
            streamed = stream.get_final_message()
        assert streamed.content[0].input == anthropic_sdk.messages.create(**body).content[0].input

    def test_thoughts_are_signed_and_must_come_back_unchanged(self, anthropic_sdk):
        thinking = {"type": "enabled", "budget_tokens": 1024}
        body = anthropic_body("Call weather", tools=ANTHROPIC_TOOLS, max_tokens=2000, thinking=thinking)
        with anthropic_sdk.messages.stream(**body) as stream:
            asked = stream.get_final_message()
        thought, call = asked.content
        assert asked.usage.output_tokens_details.thinking_tokens > 0
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "21"}
        answer = {"role": "user", "content": [result]}
        kept = {**body, "messages": [*body["messages"], asked.to_param(), answer]}
        assert anthropic_sdk.messages.create(**kept).stop_reason == "end_turn"
        changed = {"role": "assistant", "content": [{**thought.model_dump(), "thinking": "other"}, call]}
        with pytest.raises(anthropic.BadRequestError, match="signature"):
            anthropic_sdk.messages.create(**{**body, "messages": [*body["messages"], changed, answer]})

    def test_structured_output_keeps_its_schema(self, anthropic_sdk):
        output = {"format": {"type": "json_schema", "schema": ORDER}}
        message = anthropic_sdk.messages.create(**anthropic_body(output_config=output))
        jsonschema.validate(msgspec.json.decode(message.content[0].text), ORDER)

    def test_errors_raise_their_classes(self, anthropic_sdk, arm):
        with pytest.raises(anthropic.NotFoundError):
            anthropic_sdk.messages.create(**{**anthropic_body(), "model": "claude-none"})
        arm(kind="status", status=529, times=1)
        with pytest.raises(anthropic.APIStatusError) as caught:
            anthropic_sdk.messages.create(**anthropic_body())
        assert caught.value.type == "overloaded_error"
        arm(kind="in_band_error", status=529, times=1)
        with pytest.raises(anthropic.APIStatusError):
            list(anthropic_sdk.messages.create(**anthropic_body(stream=True)))


class TestGemini:
    def ask(self, sdk: Any, text: Any = QUESTION, **more: Any) -> Any:
        return sdk.models.generate_content(model=SMALL, contents=text, config=gemini_config(**more))

    def test_it_sorts_a_question_with_log_probabilities(self, gemini_sdk, task):
        reply = self.ask(gemini_sdk, system_instruction=task, response_logprobs=True, logprobs=2)
        assert (reply.text, reply.candidates[0].finish_reason) == ("activate_my_card", types.FinishReason.STOP)
        assert len(reply.candidates[0].logprobs_result.chosen_candidates) == reply.usage_metadata.candidates_token_count
        usage = reply.usage_metadata
        assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count

    def test_a_stream_is_the_same_answer_chunk_by_chunk(self, gemini_sdk, task):
        stream = gemini_sdk.models.generate_content_stream(
            model=SMALL, contents=QUESTION, config=gemini_config(system_instruction=task)
        )
        chunks = list(stream)
        assert "".join(chunk.text for chunk in chunks) == "activate_my_card"
        assert [bool(chunk.candidates[0].finish_reason) for chunk in chunks] == [False, False, True]
        assert chunks[-1].usage_metadata.candidates_token_count == 3

    def test_a_call_its_result_and_the_sentence_that_quotes_it(self, gemini_sdk):
        asked = self.ask(gemini_sdk, "Use the tool order", tools=GEMINI_TOOLS)
        call = asked.candidates[0].content.parts[0].function_call
        jsonschema.validate(call.args, ORDER)
        result = types.Part(function_response=types.FunctionResponse(id=call.id, name="order", response={"n": 17}))
        turns = [
            types.Content(role="user", parts=[types.Part(text="Use the tool order")]),
            asked.candidates[0].content,
            types.Content(role="user", parts=[result]),
        ]
        assert self.ask(gemini_sdk, turns, tools=GEMINI_TOOLS).text == 'The tool order gave back: {"n":17}'

    def test_parallel_calls_come_each_in_a_chunk(self, gemini_sdk):
        stream = gemini_sdk.models.generate_content_stream(
            model=SMALL, contents="Call all tools", config=gemini_config(tools=GEMINI_TOOLS)
        )
        parts = [part for chunk in stream for part in chunk.candidates[0].content.parts]
        assert [part.function_call.name for part in parts] == ["weather", "order"]

    def test_thoughts_stand_apart_and_calls_are_signed(self, gemini_sdk):
        thinking = types.ThinkingConfig(include_thoughts=True)
        reply = self.ask(gemini_sdk, "Call weather", tools=GEMINI_TOOLS, thinking_config=thinking)
        thought, call = reply.candidates[0].content.parts
        assert thought.thought
        assert call.thought_signature
        usage = reply.usage_metadata
        assert usage.total_token_count == (
            usage.prompt_token_count + usage.candidates_token_count + usage.thoughts_token_count
        )

    def test_structured_output_keeps_its_schema(self, gemini_sdk):
        reply = self.ask(gemini_sdk, response_mime_type="application/json", response_json_schema=ORDER)
        jsonschema.validate(msgspec.json.decode(reply.text), ORDER)

    def test_errors_raise_their_classes(self, gemini_sdk, arm):
        with pytest.raises(errors.ClientError) as caught:
            gemini_sdk.models.generate_content(model="gemini-none", contents="x")
        assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
        arm(kind="status", status=429, retry_after_s=2)
        with pytest.raises(errors.ClientError) as caught:
            self.ask(gemini_sdk)
        assert caught.value.details["error"]["details"][0]["retryDelay"] == "2s"


class TestOpenAI:
    def test_a_call_its_result_and_the_sentence_that_quotes_it(self, openai_sdk):
        body = openai_body("Use the tool order", tools=OPENAI_TOOLS)
        asked = openai_sdk.chat.completions.create(**body).choices[0]
        (call,) = asked.message.tool_calls
        jsonschema.validate(msgspec.json.decode(call.function.arguments), ORDER)
        assert (call.function.name, asked.finish_reason, asked.message.content) == ("order", "tool_calls", None)
        result = {"role": "tool", "tool_call_id": call.id, "content": "order 17 is placed"}
        body["messages"] += [asked.message.model_dump(exclude_none=True), result]
        told = openai_sdk.chat.completions.create(**body).choices[0]
        assert told.message.content == "The tool order gave back: order 17 is placed"

    def test_parallel_calls_are_streamed_by_index_as_they_are_whole(self, openai_sdk):
        body = openai_body("Call both in parallel", tools=OPENAI_TOOLS, tool_choice="required")
        arguments = {0: "", 1: ""}
        for chunk in openai_sdk.chat.completions.create(**body, stream=True):
            for delta in chunk.choices[0].delta.tool_calls or ():
                arguments[delta.index] += delta.function.arguments
        whole = openai_sdk.chat.completions.create(**body).choices[0].message.tool_calls
        assert list(arguments.values()) == [call.function.arguments for call in whole]

    def test_one_call_at_a_time_when_the_caller_wants_it_so(self, openai_sdk):
        body = openai_body("Call both tools", tools=OPENAI_TOOLS, parallel_tool_calls=False)
        assert len(openai_sdk.chat.completions.create(**body).choices[0].message.tool_calls) == 1

    def test_no_tool_is_called_unasked_or_forbidden(self, openai_sdk):
        for more in ({}, {"tool_choice": "none"}):
            text = "Use all tools" if more else "Good morning"
            reply = openai_sdk.chat.completions.create(**openai_body(text, tools=OPENAI_TOOLS, **more))
            assert reply.choices[0].message.tool_calls is None

    def test_structured_output_keeps_its_schema(self, openai_sdk):
        wanted = {"type": "json_schema", "json_schema": {"name": "order", "schema": ORDER, "strict": True}}
        reply = openai_sdk.chat.completions.create(**openai_body(response_format=wanted))
        jsonschema.validate(msgspec.json.decode(reply.choices[0].message.content), ORDER)
