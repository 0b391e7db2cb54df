"""OpenAI's official client for Node, unmodified, on the front door of a whole yard."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings

from jobs.chat import Answer
from routing.dialects.base import Delta
from tests.api.fronts import node_client
from tests.api.fronts.talk import job
from tests.api.fronts.upstream import ARGUMENTS, HEAD, TEXT, USAGE, WORDS
from tests.api.fronts.yard import Yard
from tests.routing.dialects.judges import normal
from tests.routing.dialects.mutations import WIRES, Wire, chunks_of, mutated


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the client is installed."""
    made = tmp_path_factory.mktemp("node")
    node_client.install(made)
    return made


@pytest.fixture(scope="module")
def seen(yard: Yard, folder: Path) -> Any:
    """What the client saw, as it wrote it down."""
    told = node_client.run(folder, "seen.js", OPENAI_BASE_URL=yard.base_url, OPENAI_API_KEY=yard.key)
    return msgspec.json.decode(told)


@pytest.mark.parametrize("name", WIRES)
def test_the_client_adds_our_chunks_up_to_the_stored_answer(name: str, folder: Path):
    streams, stored = streams_of(WIRES[name])
    given = msgspec.json.encode([[msgspec.json.decode(delta.chunk) for delta in deltas] for deltas in streams])
    added = msgspec.json.decode(node_client.run(folder, "added_up.js", given))
    assert len(added) == len(stored) > 50
    assert [official(whole) for whole in added] == [official(answer) for answer in stored]


def streams_of(wire: Wire) -> tuple[list[list[Delta]], list[Any]]:
    """The chunks of streams to which accidents happened, always the same ones, and the answers stored of them."""
    streams: list[list[Delta]] = []
    stored: list[Any] = []

    @settings(max_examples=150, database=None, derandomize=True, deadline=None, phases=[Phase.generate])
    @given(mutated(wire))
    def take(raw: bytes) -> None:
        deltas, outcome = chunks_of(wire, raw)
        if isinstance(outcome, Answer):
            streams.append(deltas)
            stored.append(msgspec.json.decode(outcome.body))

    take()
    return streams, stored


def official(completion: Any) -> Any:
    """What this client adds up: of fields that are not OpenAI's it keeps the last piece only."""
    assert "error" not in completion, completion
    head = {name: completion.get(name) for name in ("id", "created", "model", "system_fingerprint", "usage")}
    return normal({**head, "choices": [_choice(choice) for choice in completion["choices"]]})


def _choice(choice: Any) -> Any:
    message = choice["message"]
    # The client takes a content of "" for none.
    said = {name: message.get(name) or None for name in ("role", "content", "refusal", "function_call", "audio")}
    calls = [{name: call[name] for name in ("id", "type", "function")} for call in message.get("tool_calls") or ()]
    ended = {name: choice.get(name) for name in ("index", "finish_reason", "logprobs")}
    return {**ended, "message": {**said, "tool_calls": calls}}


def test_the_client_is_pinned_by_its_hash_and_comes_from_no_named_host():
    locked: Any = msgspec.json.decode((node_client.NODE / "package-lock.json").read_bytes())["packages"]
    wanted: Any = msgspec.json.decode((node_client.NODE / "package.json").read_bytes())["dependencies"]
    installed = {name: package for name, package in locked.items() if name}
    assert {name.removeprefix("node_modules/"): each["version"] for name, each in installed.items()} == wanted
    assert all(each["integrity"].startswith("sha512-") and "resolved" not in each for each in installed.values())


def test_an_answer_comes_with_its_usage_and_headers(seen: Any, yard: Yard):
    answer = seen["chat"]["answer"]
    assert (answer["choices"][0]["message"]["content"], answer["id"], answer["usage"]) == (TEXT, HEAD["id"], USAGE)
    found = job(yard, seen["chat"]["job"])
    assert (found["state"], found["task"], found["cost_usd"]) == ("succeeded", "by-node", seen["chat"]["cost"])


def test_a_stream_comes_in_pieces_and_ends_with_its_usage(seen: Any):
    *parts, last = seen["stream"]["chunks"]
    assert [part["choices"][0]["delta"].get("content") for part in parts] == ["", *WORDS, None]
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert seen["stream"]["whole"] == TEXT


@pytest.mark.parametrize("name", ["tool", "tool_streamed"])
def test_the_clients_loop_calls_the_tool_and_sends_its_result_back(seen: Any, name: str):
    told = seen[name]
    assert (told["text"], told["called"]) == (TEXT, [msgspec.json.decode(ARGUMENTS)])
    asked, called, result, answer = told["messages"]
    assert [each["role"] for each in told["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert called["tool_calls"][0]["function"]["arguments"] == ARGUMENTS
    assert (result["tool_call_id"], result["content"]) == ("call_1", "21 degrees")
    assert (asked["content"], answer["content"]) == ("tool", TEXT)


@pytest.mark.parametrize(
    ("name", "error", "status", "code"),
    [
        ("key", "AuthenticationError", 401, "invalid_api_key"),
        ("model", "NotFoundError", 404, "model_not_found"),
        ("field", "BadRequestError", 400, "invalid_value"),
        ("intent", "UnprocessableEntityError", 422, "intent_infeasible"),
        ("streamed", "NotFoundError", 404, "model_not_found"),
        ("provider", "BadRequestError", 400, "bad_request"),
    ],
)
def test_an_error_is_the_clients_own_class(seen: Any, yard: Yard, name: str, error: str, status: int, code: str):
    told = seen["errors"][name]
    assert (told["class"], told["status"], told["code"]) == (error, status, code)
    assert (told["job"] is not None) is (name == "provider")


def test_a_batch_is_made_of_a_file_runs_and_gives_its_outputs(seen: Any):
    told = seen["batch"]
    file, made, ended = told["file"], told["made"], told["ended"]
    assert told["same"] is True
    assert told["found"] == file
    assert (made["status"], made["input_file_id"]) == ("in_progress", file["id"])
    assert (ended["status"], ended["request_counts"]) == ("completed", {"total": 3, "completed": 3, "failed": 0})
    lines = [msgspec.json.decode(line) for line in told["output"].splitlines()]
    assert sorted(line["custom_id"] for line in lines) == ["q-0", "q-1", "q-2"]
    assert [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines] == [TEXT] * 3
    assert made["id"] in told["listed"]
    assert told["deleted"] == {"id": file["id"], "object": "file", "deleted": True}


def test_models_are_listed(seen: Any):
    assert {"auto", "maker/small"} <= set(seen["models"]["listed"])
    assert seen["models"]["one"]["id"] == "maker/small"
