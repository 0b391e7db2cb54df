"""A provider that does what the last message asks of it, piece by piece where the call streams."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

WORDS = ["One", " two", " three", " \u00e9\u4e09", " \U0001f682", " end."]
TEXT = "".join(WORDS)
ARGUMENTS = '{"city": "Köln",  "days":2.50}'
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 6,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
}
HEAD = {"id": "chatcmpl-up", "created": 1_790_000_000, "model": "small-2026-01", "system_fingerprint": "fp_1"}
REFUSALS = {"400": "invalid_request_error", "401": "authentication_error", "500": "server_error", "529": "overloaded"}
BOUND_S = 20.0
Body = dict[str, Any]


class Upstream:
    """What it was asked, and the gate at which its slow answers wait."""

    def __init__(self) -> None:
        self.asked: list[Body] = []
        self.gate = threading.Event()
        self.url = ""
        self.broke = 0

    def calls_of(self, word: str) -> int:
        """Calls whose last message had that word."""
        return sum(word in str(body["messages"][-1]["content"]) for body in self.asked)


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: Upstream

    def do_POST(self) -> None:
        body: Body = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
        self.upstream.asked.append(body)
        words = str(body["messages"][-1]["content"]).split()
        deed = words[0]
        if deed in REFUSALS:
            self._send(int(deed), {"error": {"message": "no", "type": REFUSALS[deed], "code": None, "param": None}})
        elif body.get("stream"):
            self._stream(deed)
        else:
            if deed in {"slow", "hang"}:
                self.upstream.gate.wait(BOUND_S)
            message, finish = _message(deed)
            choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
            self._send(200, HEAD | {"object": "chat.completion", "choices": [choice], "usage": USAGE})

    def _stream(self, deed: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        if deed == "hang":
            self.upstream.gate.wait(BOUND_S)
        for place, (delta, finish) in enumerate(_deltas(deed)):
            if deed == "slow" and place == 3:
                self.upstream.gate.wait(BOUND_S)
            if deed.startswith("breaks") and place == 3 and not (deed == "breaks_once" and self.upstream.broke):
                self.upstream.gate.wait(BOUND_S)
                self.upstream.broke += 1
                return
            choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
            self._event(HEAD | {"object": "chat.completion.chunk", "choices": [choice], "usage": None})
        self._event(HEAD | {"object": "chat.completion.chunk", "choices": [], "usage": USAGE})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, chunk: Body) -> None:
        self.wfile.write(b"data: " + msgspec.json.encode(chunk) + b"\n\n")
        self.wfile.flush()

    def _send(self, status: int, body: Body) -> None:
        raw = msgspec.json.encode(body)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


def _message(deed: str) -> tuple[Body, str]:
    match deed:
        case "tool":
            call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}
            return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}, "tool_calls"
        case "json":
            return {"role": "assistant", "content": '{"city":"Köln","days":2}', "refusal": None}, "stop"
        case _:
            return {"role": "assistant", "content": TEXT, "refusal": None}, "stop"


def _deltas(deed: str) -> Iterator[tuple[Body, str | None]]:
    yield {"role": "assistant", "content": None if deed == "tool" else "", "refusal": None}, None
    if deed == "tool":
        half = len(ARGUMENTS) // 2
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
        yield {"tool_calls": [first]}, None
        for part in (ARGUMENTS[:half], ARGUMENTS[half:]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}, None
        yield {}, "tool_calls"
        return
    for word in ['{"city":', '"Köln",', '"days":2}'] if deed == "json" else WORDS:
        yield {"content": word}, None
    yield {}, "stop"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A caller that hangs up is what some tests are about."""


@contextmanager
def serving() -> Iterator[Upstream]:
    upstream = Upstream()
    handler: Callable[..., BaseHTTPRequestHandler] = type("Handler", (Answering,), {"upstream": upstream})
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    upstream.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield upstream
    finally:
        upstream.gate.set()
        server.shutdown()
        server.server_close()
