"""OpenAI's official client for Node, unmodified, on the front door of a whole yard."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.api.fronts.talk import job
from tests.api.fronts.upstream import ARGUMENTS, HEAD, TEXT, USAGE, WORDS
from tests.api.fronts.yard import Yard

NODE = Path(__file__).parent / "node"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--prefer-offline")
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED")
"""npm's words for a registry out of reach; whatever else it says is a fault of ours."""
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def seen(yard: Yard, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the client saw, as it wrote it down."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"install {' and '.join(missing)} to prove the front door with OpenAI's client for Node")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(NODE, folder, dirs_exist_ok=True)
    installed = subprocess.run(INSTALL, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if any(word in installed.stderr for word in UNREACHABLE):
        pytest.skip(f"npm cannot fetch OpenAI's client for Node: {installed.stderr[:300]}")
    assert installed.returncode == 0, installed.stderr
    where = {"OPENAI_BASE_URL": yard.base_url, "OPENAI_API_KEY": yard.key, "PATH": os.environ["PATH"]}
    ran = subprocess.run(("node", "seen.js"), cwd=folder, env=where, capture_output=True, timeout=LIMIT_S, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return msgspec.json.decode(ran.stdout)


def test_the_client_is_pinned_by_its_hash_and_comes_from_no_named_host():
    locked: Any = msgspec.json.decode((NODE / "package-lock.json").read_bytes())["packages"]
    wanted: Any = msgspec.json.decode((NODE / "package.json").read_bytes())["dependencies"]
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
