"""A bell carries a lane, ids and a version through a real Redis; forged ones say nothing."""

import json
import uuid
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import OperationalError

from jobs import ids
from jobs.broker import VERSION, Bells, LaneCycle, celery_url, make_app, read_bell, task_name
from jobs.lanes import Lane

IDS = [uuid.UUID(int=number) for number in (1, 2, (1 << 128) - 1)]


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    made = make_app(redis_url)
    yield made
    made.close()


@pytest.fixture
def server(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        client.delete(*Lane)
        yield client
        client.delete(*Lane)


@pytest.mark.parametrize("lane", Lane)
def test_a_bell_carries_a_lane_ids_and_a_version_as_json_and_nothing_else(
    app: Celery, server: "redis.Redis", lane: Lane
):
    bells = Bells(app)
    bells.ring(lane, IDS)
    assert bells.depth(lane) == 1
    message: Any = json.loads(server.lpop(lane.value))  # type: ignore[arg-type]
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == task_name(lane)
    assert (message["headers"]["eta"], message["headers"]["expires"]) == (None, None)
    args, kwargs, embed = json.loads(b64decode(message["body"]))
    assert args == []
    assert kwargs == {"v": VERSION, "lane": lane.value, "ids": [ids.show("job", job_id) for job_id in IDS]}
    assert not any(embed.values())
    assert read_bell(kwargs) == IDS
    assert bells.depth(lane) == 0


def test_a_monitor_is_shown_every_id_of_the_longest_bell(app: Celery, server: "redis.Redis"):
    job_ids = [uuid.UUID(int=number) for number in range(32)]
    Bells(app).ring(Lane.BULK, job_ids)
    message: Any = json.loads(server.lpop(Lane.BULK.value))  # type: ignore[arg-type]
    assert message["headers"]["kwargsrepr"].split(", ") == [ids.show("job", job_id) for job_id in job_ids]


def test_a_worker_of_two_lanes_with_a_backlog_in_each_pops_them_by_their_weights(app: Celery, server: "redis.Redis"):
    bells, popped = Bells(app), []
    for _ in range(24):
        bells.ring(Lane.STANDARD, IDS[:1])
        bells.ring(Lane.BULK, IDS[:1])
    queues = [queue for queue in app.conf.task_queues if queue.name in {Lane.STANDARD, Lane.BULK}]
    with app.connection_for_read() as connection:

        def take(_: Any, message: Any) -> None:
            popped.append(message.delivery_info["routing_key"])

        with connection.Consumer(queues, callbacks=[take], no_ack=True, accept=["json"]):
            while len(popped) < 16:
                connection.drain_events(timeout=10)
    assert (popped[:16].count("standard"), popped[:16].count("bulk")) == (12, 4)


def test_a_lane_that_was_empty_saves_no_turns_up():
    cycle = LaneCycle()
    cycle.update(["standard", "bulk"])
    assert cycle.consume(2) == ["standard", "bulk"]
    for _ in range(30):
        cycle.consume(2)
        cycle.rotate("standard")
    taken = [cycle.rotate(cycle.consume(2)[0]) for _ in range(8)]
    assert taken.count("bulk") in {2, 3}
    assert cycle.consume(1) in (["standard"], ["bulk"])


def test_without_redis_a_bell_says_so_at_once():
    app = make_app("unix:///nonexistent/redis.sock")
    with pytest.raises(OperationalError):
        Bells(app).ring(Lane.BULK, IDS)
    app.close()


def test_a_redis_socket_is_spelled_as_kombu_wants_it():
    assert celery_url("unix:///run/redis.sock") == "redis+socket:///run/redis.sock"
    assert celery_url("redis://host:1/0") == "redis://host:1/0"


@pytest.mark.parametrize(
    "bell",
    [{}, {"ids": []}, {"v": VERSION + 1, "ids": ["job_" + "0" * 26]}, {"v": VERSION, "ids": "job"}, {"v": VERSION}],
)
def test_a_bell_we_do_not_know_names_nobody(bell: dict[str, Any]):
    assert read_bell(bell) == []


def test_forged_ids_are_left_out_and_the_others_kept():
    good = ids.show("job", IDS[0])
    assert read_bell({"v": VERSION, "ids": [None, 5, {}, "att_" + "0" * 26, good, good + "x"]}) == [IDS[0]]


@given(
    st.dictionaries(
        st.sampled_from(["v", "ids", "lane"]), st.just(VERSION) | st.lists(st.text() | st.none()) | st.text()
    )
)
def test_no_bell_does_worse_than_naming_nobody(bell: dict[str, Any]):
    assert all(isinstance(job_id, uuid.UUID) for job_id in read_bell(bell))
