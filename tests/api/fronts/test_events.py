"""`/v1/jobs/{id}/events`: whoever drops out at any event goes on behind it, whatever Redis lost in between."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import redis

from jobs.ids import read
from jobs.streams import name_of
from jobs.tokens import unpack
from tests.api.fronts.talk import Event, body, events, http, job, said, until
from tests.api.fronts.upstream import TEXT
from tests.api.fronts.yard import Yard

JOB: dict[str, Any] = {"lane": "interactive"}


def submit(yard: Yard, words: str, **more: Any) -> str:
    request = {"model": "auto", "messages": said(words), "stream": True} | more
    with http(yard) as plain:
        name: str = plain.post("/v1/jobs", json=JOB | {"request": request}).json()["id"]
    return name


def finished(yard: Yard, words: str, **more: Any) -> str:
    """A job that has ended, and whose pieces are all in Redis if it was streamed."""
    name = submit(yard, words, **more)
    assert job(yard, name)["state"] == "succeeded"
    if more.get("stream", True):
        with redis.Redis.from_url(yard.redis_url) as server:
            until(lambda: is_whole(server, name), "the stream has its end")
    return name


def is_whole(server: Any, name: str) -> bool:
    found = server.xrevrange(name_of(read("job", name)), count=1)
    last = unpack(found[0][1][b"e"]) if found else None
    return last is not None and last.is_end


@contextmanager
def following(yard: Yard, name: str, last: str = "") -> Iterator[Iterator[Event]]:
    headers = {"last-event-id": last} if last else {}
    with http(yard) as plain, plain.stream("GET", f"/v1/jobs/{name}/events", headers=headers) as response:
        assert (response.status_code, response.headers["content-type"][:17]) == (200, "text/event-stream")
        yield events(response)


def all_of(yard: Yard, name: str, last: str = "") -> list[Event]:
    with following(yard, name, last) as told:
        return list(told)


class Reader:
    """A client that keeps what it was told: pieces in order, void at a reset."""

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self.last = ""
        self.states: list[str] = []

    def take(self, event: Event) -> None:
        self.last = event.id or self.last
        match event.name:
            case "chunk":
                self.pieces.append(event.data)
            case "reset":
                self.pieces = []
            case "state":
                self.states.append(event.data["state"])

    @property
    def text(self) -> str:
        choices = [choice for piece in self.pieces for choice in piece["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def is_over(self) -> bool:
        return self.last == "end"


def whole(yard: Yard, name: str, drop_at: int) -> Reader:
    """Read to the end, dropping the connection once after so many events."""
    reader = Reader()
    with following(yard, name) as told:
        for _, event in zip(range(drop_at), told, strict=False):
            reader.take(event)
    while not reader.is_over:
        for event in all_of(yard, name, reader.last):
            reader.take(event)
    return reader


def test_pieces_have_ids_and_the_state_comes_first_and_last(yard: Yard):
    told = all_of(yard, finished(yard, "hello"))
    chunks = [event for event in told if event.name == "chunk"]
    assert [event.id for event in chunks] == [f"1.{seq}" for seq in range(1, len(chunks) + 1)]
    assert (told[-1].name, told[-1].id, told[-1].data["state"]) == ("state", "end", "succeeded")
    assert float(told[-1].data["cost_usd"]) > 0


def test_a_client_that_drops_at_any_event_of_an_ended_job_goes_on_without_gap_or_double(yard: Yard):
    name = finished(yard, "hello")
    straight = whole(yard, name, 0)
    assert straight.text == TEXT
    for drop_at in range(1, len(all_of(yard, name))):
        assert whole(yard, name, drop_at).pieces == straight.pieces, drop_at


@pytest.mark.parametrize("is_flushed", [False, True])
@pytest.mark.parametrize("drop_at", [1, 2, 3])
def test_a_client_that_drops_while_it_runs_goes_on_even_if_redis_lost_all(yard: Yard, drop_at: int, is_flushed: bool):
    yard.upstream.gate.clear()
    name, reader = submit(yard, "slow"), Reader()
    with following(yard, name) as told:
        while len(reader.pieces) < drop_at:
            reader.take(next(told))
    if is_flushed:
        lose(yard, name)
    with following(yard, name, reader.last) as told:
        yard.upstream.gate.set()
        for event in told:
            reader.take(event)
    assert reader.text == TEXT
    assert reader.pieces == whole(yard, name, 0).pieces
    assert reader.states[-1] == "succeeded"


def lose(yard: Yard, name: str) -> None:
    """What a Redis that was wiped has left of the job's stream."""
    with redis.Redis.from_url(yard.redis_url) as server:
        assert server.delete(name_of(read("job", name))) == 1


def test_after_the_end_a_lost_stream_is_told_from_the_stored_answer_wherever_its_reader_was(yard: Yard):
    name = finished(yard, "hello")
    readers = []
    for drop_at in range(len(all_of(yard, name))):
        readers.append(reader := Reader())
        with following(yard, name) as told:
            for _, event in zip(range(drop_at), told, strict=False):
                reader.take(event)
    lose(yard, name)
    for reader in readers:
        had = bool(reader.pieces)
        rest = all_of(yard, name, reader.last)
        assert [event.name for event in rest].count("reset") == had
        for event in rest:
            reader.take(event)
        assert reader.text == TEXT
        assert reader.is_over


@pytest.mark.parametrize("words", ["hello", "tool"])
def test_a_job_that_was_not_streamed_is_told_from_its_answer_and_goes_on_at_any_piece(yard: Yard, words: str):
    name = finished(yard, words, stream=False)
    straight = whole(yard, name, 0)
    told = all_of(yard, name)
    ids = [event.id for event in told if event.name == "chunk"]
    assert ids == [f"1.{seq}a" for seq in range(1, len(ids) + 1)]
    assert not [event for event in told if event.name == "reset"]
    for drop_at in range(1, len(told)):
        assert whole(yard, name, drop_at).pieces == straight.pieces


def test_states_are_told_as_they_change_and_a_failure_with_its_reason(yard: Yard):
    yard.upstream.gate.clear()
    name, reader = submit(yard, "hang"), Reader()
    with following(yard, name) as told:
        reader.take(next(told))
        threading.Timer(0.1, yard.upstream.gate.set).start()
        for event in told:
            reader.take(event)
    assert reader.states[0] in {"queued", "running"}
    assert reader.states[-1] == "succeeded"
    failed = submit(yard, "400", model="ill")
    (*_, last) = all_of(yard, failed)
    assert (last.data["state"], last.data["error"]["code"]) == ("failed", "bad_request")


def test_a_cancelled_job_ends_its_stream(yard: Yard):
    yard.upstream.gate.clear()
    name = submit(yard, "slow")
    with following(yard, name) as told, http(yard) as plain:
        while next(told).name != "chunk":
            continue
        plain.post(f"/v1/jobs/{name}/cancel")
        *_, last = told
    yard.upstream.gate.set()
    assert last.data["state"] == "cancelled"


def test_who_has_everything_is_told_to_stop_coming_back(yard: Yard):
    name = finished(yard, "hello")
    with http(yard) as plain:
        assert plain.get(f"/v1/jobs/{name}/events", headers={"last-event-id": "end"}).status_code == 204


@pytest.mark.parametrize("last", ["x", "1", "1.2.3", "-1.0", "a", "1.2b", "9" * 30 + ".1"])
def test_an_id_that_was_never_given_is_refused(yard: Yard, last: str):
    name = finished(yard, "hello")
    with http(yard) as plain:
        told = plain.get(f"/v1/jobs/{name}/events", headers={"last-event-id": last})
    assert (told.status_code, told.json()["error"]["param"]) == (400, "Last-Event-ID")


@pytest.mark.parametrize(("last", "text"), [("1.999", TEXT), ("7.1", TEXT), ("7.1a", TEXT), ("1.999a", "")])
def test_an_id_from_nowhere_gets_what_lies_behind_it_or_all(yard: Yard, last: str, text: str):
    name, reader = finished(yard, "hello"), Reader()
    for event in all_of(yard, name, last):
        reader.take(event)
    assert (reader.is_over, reader.text) == (True, text)


def test_many_clients_follow_one_stream(yard: Yard):
    yard.upstream.gate.clear()
    name, texts = submit(yard, "slow"), []

    def follow() -> None:
        texts.append(whole(yard, name, 0).text)

    clients = [threading.Thread(target=follow) for _ in range(8)]
    for client in clients:
        client.start()
    yard.upstream.gate.set()
    for client in clients:
        client.join()
    assert texts == [TEXT] * 8


def test_a_chat_stream_that_was_dropped_goes_on_as_events(yard: Yard):
    yard.upstream.gate.clear()
    raw = body("slow", stream=True, policy="patient")
    with http(yard) as plain, plain.stream("POST", "/v1/chat/completions", content=raw) as chat:
        name = chat.headers["x-tokenyard-job"]
        next(event for event in events(chat) if event.data["choices"][0]["delta"].get("content"))
    yard.upstream.gate.set()
    assert whole(yard, name, 0).text == TEXT


def test_an_erased_job_leaves_nothing_in_redis_either(yard: Yard):
    name = finished(yard, "hello")
    with http(yard) as plain, redis.Redis.from_url(yard.redis_url) as server:
        assert server.exists(name_of(read("job", name)))
        assert plain.delete(f"/v1/jobs/{name}").status_code == 200
        assert not server.exists(name_of(read("job", name)))
    assert [event.name for event in all_of(yard, name)] == ["state"]


def test_a_job_of_nobody_is_not_found(yard: Yard):
    with http(yard) as plain, pytest.raises(httpx2.HTTPStatusError):
        plain.get(f"/v1/jobs/job_{'0' * 26}/events").raise_for_status()
