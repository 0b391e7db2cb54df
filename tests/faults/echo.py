"""A provider that repeats all it knows in its errors, its key and the prompt included; and a receiver of webhooks."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.faults.harness import HOST

POISON = "POISON"
"""What the database refuses to store: its error quotes the row."""
# What a job's prompt asks of the provider -> how the job ends.
DEEDS = {
    "answer": "succeeded",
    "stream": "succeeded",
    "refuse": "failed",
    "break": "failed",
    "babble": "failed",
    "hang_up": "failed",
    "poison": "failed",
}


class Upstream(BaseHTTPRequestHandler):
    """Does what the prompt says; a call to its webhook door is refused."""

    protocol_version = "HTTP/1.1"
    answer = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        secret = f"{self.headers['authorization']} {body}"
        if self.path.startswith("/hook"):
            self._send(500, f"{self.path} {self.headers['webhook-signature']}")
            return
        deed = next(name for name in DEEDS if f"do={name}" in body)
        getattr(self, f"_{deed}")(secret)

    def _answer(self, _secret: str, extra: str = "") -> None:
        content = {"role": "assistant", "content": f"{self.answer} {extra}"}
        choice = {"index": 0, "message": content, "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        body = {"id": self.answer, "object": "chat.completion", "created": 1, "model": self.answer, "choices": [choice]}
        self._send(200, json.dumps(body | {"usage": usage}))

    def _stream(self, _secret: str) -> None:
        delta = {"index": 0, "delta": {"role": "assistant", "content": self.answer}, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        chunks = [head | {"choices": [delta]}, head | {"choices": [end]}, head | {"choices": [], "usage": usage}]
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        self._send(200, text + "data: [DONE]\n\n", "text/event-stream")

    def _refuse(self, secret: str) -> None:
        error = {"message": secret, "type": secret[:90], "code": secret[:90], "param": secret[:30]}
        self._send(400, json.dumps({"error": error}), x_request_id=secret[:60])

    def _break(self, secret: str) -> None:
        self._send(500, f"<html>{secret}</html>", "text/html")

    def _babble(self, secret: str) -> None:
        self._send(200, f"not json, but {secret}")

    def _hang_up(self, secret: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + secret.encode())
        self.close_connection = True

    def _poison(self, secret: str) -> None:
        self._answer(secret, POISON)

    def _send(self, status: int, text: str, kind: str = "application/json", **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value.replace("\n", " "))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def upstream(answer: str) -> Iterator[str]:
    """The provider at work: its address."""
    handler = type("Singing", (Upstream,), {"answer": answer})
    server = ThreadingHTTPServer((HOST, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
