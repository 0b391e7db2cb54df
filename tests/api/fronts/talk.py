"""Words for the tests of the OpenAI door: what is said, what a typed answer dropped, what a job became."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import msgspec
import pydantic

from tests.api.fronts.yard import Yard

BOUND_S = 20.0
Message = dict[str, Any]


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def dropped(model: pydantic.BaseModel, where: str = "$") -> Iterator[str]:
    """Fields of an answer that its official type does not know, however deep."""
    yield from (f"{where}.{name}" for name in model.model_extra or ())
    for name, value in model:
        for place, one in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(one, pydantic.BaseModel):
                yield from dropped(one, f"{where}.{name}[{place}]")


def until(holds: Callable[[], Any], what: str) -> Any:
    """What `holds` gives once that is true, ten seconds at most."""
    deadline = time.monotonic() + BOUND_S
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def http(yard: Yard) -> httpx2.Client:
    return httpx2.Client(base_url=yard.url, headers={"authorization": f"Bearer {yard.key}"}, timeout=BOUND_S)


def job(yard: Yard, name: str) -> dict[str, Any]:
    with http(yard) as client:
        found: dict[str, Any] = client.get(f"/v1/jobs/{name}", params={"wait": 10}).json()
    return found


def body(text: str, **more: Any) -> bytes:
    return msgspec.json.encode({"model": "auto", "messages": said(text)} | more)


class Event:
    """A server-sent event as a browser would take it."""

    def __init__(self, lines: list[str]) -> None:
        fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
        self.name, self.id, data = fields.get("event", ""), fields.get("id", ""), fields.get("data", "null")
        self.data: Any = data if data == "[DONE]" else msgspec.json.decode(data)


def events(response: httpx2.Response) -> Iterator[Event]:
    lines: list[str] = []
    for line in response.iter_lines():
        if line:
            lines.append(line)
        elif any(not each.startswith(":") for each in lines):
            yield Event(lines)
            lines = []
        else:
            lines = []
