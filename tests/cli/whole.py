"""A whole yard as `tokenyard up` starts it, over a provider that answers, or refuses what contains the word `bad`."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from cli.yard import CHECKOUT, Yard
from jobs.configuration import CONFIG_VARIABLE

SETTINGS = """
[api]
port = {api}
[flower]
port = {flower}
[providers.lab]
dialect = "openai"
base_url = "http://127.0.0.1:{provider}/v1"
[[models]]
id = "maker/small"
context_tokens = 8_000
[[deployments]]
model = "maker/small"
provider = "lab"
upstream = "small"
price = {{ input = "0.10", output = "0.20", valid_from = 2026-01-01, source = "a test" }}
[policies.auto]
tiers = [["maker/small"]]
"""
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "small",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5},
}
REFUSAL = {"error": {"message": "bad", "type": "invalid_request_error", "code": None, "param": None}}


class Provider(BaseHTTPRequestHandler):
    """Answers a chat completion, or 400."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"]))
        is_bad = b"bad" in asked
        body = msgspec.json.encode(REFUSAL if is_bad else ANSWER)
        self.send_response(400 if is_bad else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


class Whole:
    """A yard that is up, and clients of its API and of its Flower."""

    def __init__(self, yard: Yard, asked_flower_port: int, said: str) -> None:
        state, key, password = yard.running(), yard.key(), yard.flower_password()
        assert state is not None
        assert key is not None
        assert password is not None
        self.yard = yard
        self.state = state
        self.asked_flower_port = asked_flower_port
        self.said = said
        self.password = password
        self.api = httpx2.Client(base_url=state.api_url, headers={"authorization": f"Bearer {key}"}, timeout=30)
        self.flower = httpx2.Client(base_url=state.flower_url, auth=("tokenyard", password), timeout=30)

    def submit(self, *questions: str, lane: str = "bulk") -> list[str]:
        """Submit and wait for the end: the jobs' ids."""
        ids = []
        for question in questions:
            request = {"model": "auto", "messages": [{"role": "user", "content": question}]}
            body = msgspec.json.encode({"request": request, "lane": lane})
            ids.append(self.api.post("/v1/jobs", content=body).json()["id"])
        for job in ids:
            assert self.api.get(f"/v1/jobs/{job}", params={"wait": 20}).json()["finished_at"]
        return ids

    def carrying(self, job: str) -> list[dict[str, Any]]:
        """Flower's tasks that carried this job and ended."""
        tasks: dict[str, dict[str, Any]] = self.flower.get("/api/tasks").json()
        return [task for task in tasks.values() if job in task["kwargs"] and task["state"] in {"SUCCESS", "FAILURE"}]


@contextlib.contextmanager
def whole_yard(folder: Path) -> Iterator[Whole]:
    """A yard in `folder`, up while the block runs; the port that its Flower asks for is taken."""
    provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    yard = Yard(folder / "var")
    with socket.socket() as taken, contextlib.ExitStack() as end:
        end.callback(provider.server_close)
        end.callback(provider.shutdown)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        flower_port = taken.getsockname()[1]
        settings = folder / "tokenyard.toml"
        settings.write_text(SETTINGS.format(api=free_port(), flower=flower_port, provider=provider.server_address[1]))
        settings.chmod(0o644)
        end.callback(typed, "down", "--var", str(yard.var), config=settings)
        said = typed("up", "--var", str(yard.var), config=settings)
        whole = Whole(yard, flower_port, said)
        end.callback(whole.api.close)
        end.callback(whole.flower.close)
        yield whole


def typed(*words: str, config: Path) -> str:
    """What a command of ours says in a process of its own, where it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        cwd=CHECKOUT,
        env={**os.environ, CONFIG_VARIABLE: str(config)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
