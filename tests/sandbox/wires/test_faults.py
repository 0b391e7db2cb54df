"""Every scripted fault strikes on every wire, in that wire's own form, and bills what it bills everywhere."""

from typing import Any

import httpx2
import jsonschema
import msgspec
import pytest

from .bodies import ANTHROPIC_TOOLS, GEMINI_TOOLS, OPENAI_TOOLS, ORDER, SMALL, anthropic_body, gemini_body, openai_body

WIRES = ("openai", "anthropic", "gemini")
GEMINI = f"/gemini/v1beta/models/{SMALL}"
ENDS = {"openai": "[DONE]", "anthropic": "event: message_stop", "gemini": '"finishReason"'}
"""What a stream has at its end, and only there."""


class Speaker:
    """Asks the shared provider on one wire."""

    def __init__(self, wire: str, client: httpx2.Client) -> None:
        self.wire = wire
        self._client = client

    def arm(self, **fault: Any) -> None:
        assert self._client.post("/_sandbox/faults", json={"faults": [fault]}).status_code == 200

    def post(
        self, *, stream: bool = False, request_id: str = "", timeout_s: float = 20.0, **more: Any
    ) -> httpx2.Response:
        headers = {"x-client-request-id": request_id, "anthropic-version": "2023-06-01"}
        path, body = self._body(more, stream=stream)
        return self._client.post(path, json=body, headers=headers, timeout=timeout_s)

    def _body(self, more: dict[str, Any], *, stream: bool) -> tuple[str, Any]:
        flag: dict[str, Any] = {"stream": True} if stream else {}
        match self.wire:
            case "openai":
                return "/v1/chat/completions", openai_body(**flag, **more)
            case "anthropic":
                return "/anthropic/v1/messages", anthropic_body(**flag, **more)
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"{GEMINI}:{verb}", gemini_body(**more)

    @property
    def wants_order(self) -> dict[str, Any]:
        """The answer must keep the schema."""
        shape = {"name": "order", "schema": ORDER}
        wanted: dict[str, dict[str, Any]] = {
            "openai": {"response_format": {"type": "json_schema", "json_schema": shape}},
            "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": ORDER}}},
            "gemini": {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": ORDER}},
        }
        return wanted[self.wire]

    @property
    def calls_order(self) -> dict[str, Any]:
        """The tool `order` must be called."""
        named = {"type": "function", "function": {"name": "order"}}
        config = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["order"]}}
        return {
            "openai": {"tools": OPENAI_TOOLS, "tool_choice": named},
            "anthropic": {"tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "tool", "name": "order"}},
            "gemini": {"tools": GEMINI_TOOLS, "toolConfig": config},
        }[self.wire]

    def text(self, reply: httpx2.Response) -> str:
        body = reply.json()
        match self.wire:
            case "openai":
                text = body["choices"][0]["message"]["content"]
            case "anthropic":
                text = body["content"][0]["text"]
            case _:
                text = body["candidates"][0]["content"]["parts"][0]["text"]
        assert isinstance(text, str)
        return text

    def arguments(self, reply: httpx2.Response) -> Any:
        body = reply.json()
        match self.wire:
            case "openai":
                return msgspec.json.decode(body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
            case "anthropic":
                return body["content"][0]["input"]
        return body["candidates"][0]["content"]["parts"][0]["functionCall"]["args"]

    def usage(self, reply: httpx2.Response) -> tuple[int, int]:
        body = reply.json()
        match self.wire:
            case "openai":
                return body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]
            case "anthropic":
                return body["usage"]["input_tokens"], body["usage"]["output_tokens"]
        return body["usageMetadata"]["promptTokenCount"], body["usageMetadata"]["candidatesTokenCount"]


@pytest.fixture(params=WIRES)
def speaker(request: pytest.FixtureRequest, client: httpx2.Client) -> Speaker:
    return Speaker(request.param, client)


@pytest.fixture
def bill(provider):
    def read(request_id):
        (end,) = (line for line in provider.lines() if line["request_id"] == request_id and line["event"] == "end")
        return end["input_tokens"], end["output_tokens"]

    return read


def test_the_log_bills_what_the_reply_says(speaker, bill):
    reply = speaker.post(request_id=f"att_bill_{speaker.wire}")
    assert speaker.usage(reply) == bill(f"att_bill_{speaker.wire}")


def test_a_status_is_an_error_object_that_says_when_to_come_again(speaker):
    speaker.arm(kind="status", status=429, retry_after_s=2)
    refused = speaker.post()
    assert refused.status_code == 429
    if speaker.wire == "gemini":
        assert refused.json()["error"]["details"][0]["retryDelay"] == "2s"
    else:
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert refused.headers["retry-after"] == "2"


def test_a_stream_ends_with_its_mark_and_a_cut_one_without(speaker):
    assert ENDS[speaker.wire] in speaker.post(stream=True).text
    speaker.arm(kind="cut", after_chunks=2)
    with pytest.raises(httpx2.RemoteProtocolError):
        speaker.post(stream=True)
    with pytest.raises(httpx2.RemoteProtocolError):
        speaker.post()


def test_malformed_is_no_json_in_bodies_and_events(speaker):
    speaker.arm(kind="malformed")
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(speaker.post().content)
    events = [line[6:] for line in speaker.post(stream=True).text.splitlines() if line.startswith("data: {")]
    with pytest.raises(msgspec.DecodeError):
        [msgspec.json.decode(event) for event in events]


def test_an_in_band_error_comes_under_200_and_is_free(speaker, bill):
    speaker.arm(kind="in_band_error", status=503)
    assert "error" in speaker.post(request_id=f"att_band_{speaker.wire}").json()
    streamed = speaker.post(stream=True)
    assert (streamed.status_code, '"error"' in streamed.text) == (200, True)
    assert bill(f"att_band_{speaker.wire}") == (0, 0)


def test_usage_can_be_wrong_or_absent(speaker):
    given, made = speaker.usage(speaker.post())
    speaker.arm(kind="wrong_usage", usage="doubled", times=1)
    assert speaker.usage(speaker.post()) == (2 * given, 2 * made)
    speaker.arm(kind="wrong_usage")
    with pytest.raises(KeyError):
        speaker.usage(speaker.post())


def test_silence_and_off_reach_every_wire(speaker):
    speaker.arm(kind="silence", times=1)
    with pytest.raises(httpx2.TimeoutException):
        speaker.post(timeout_s=0.3)
    speaker.arm(kind="off", times=1)
    with pytest.raises(httpx2.TransportError):
        speaker.post()


def test_an_answer_can_break_its_schema_or_its_json(speaker):
    jsonschema.validate(msgspec.json.decode(speaker.text(speaker.post(**speaker.wants_order))), ORDER)
    speaker.arm(kind="bad_json", times=1)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(msgspec.json.decode(speaker.text(speaker.post(**speaker.wants_order))), ORDER)
    speaker.arm(kind="bad_json", breaks="syntax", times=1)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(speaker.text(speaker.post(**speaker.wants_order)))


def test_tool_arguments_can_break_their_schema(speaker):
    jsonschema.validate(speaker.arguments(speaker.post(**speaker.calls_order)), ORDER)
    speaker.arm(kind="bad_arguments")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(speaker.arguments(speaker.post(**speaker.calls_order)), ORDER)


def test_tool_arguments_can_break_their_json_where_they_are_text(speaker):
    speaker.arm(kind="bad_arguments", breaks="syntax")
    if speaker.wire == "openai":
        with pytest.raises(msgspec.DecodeError):
            speaker.arguments(speaker.post(**speaker.calls_order))
    else:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(speaker.arguments(speaker.post(**speaker.calls_order)), ORDER)


def test_a_key_is_demanded_as_each_wire_carries_it(start):
    carried: dict[str, Any] = {
        "openai": ({"authorization": "Bearer secret"}, 401),
        "anthropic": ({"x-api-key": "secret"}, 401),
        "gemini": ({"x-goog-api-key": "secret"}, 400),
    }
    with start("--key", "secret", "--models", SMALL) as running:
        for wire, (headers, status) in carried.items():
            with (
                httpx2.Client(base_url=running.url, headers=headers) as knows,
                httpx2.Client(base_url=running.url) as stranger,
            ):
                assert Speaker(wire, knows).post().status_code == 200
                assert Speaker(wire, stranger).post().status_code == status
