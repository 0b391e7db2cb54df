"""Deficit round robin: nobody starves, nothing is left lying, shares follow the weights."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from routing.fairness import Queue, Shares, Turns, share_out

WEIGHTS = st.integers(1, 20)
WAITING = st.integers(0, 60)
BACKLOG = 10**9


@st.composite
def queues(draw: st.DrawFn, waiting: st.SearchStrategy[int] = WAITING) -> list[Queue]:
    count = draw(st.integers(1, 12))
    return [Queue(uuid.UUID(int=n), draw(WEIGHTS), draw(waiting), draw(st.floats(0, 0.99))) for n in range(count)]


def after(queues: list[Queue], shares: Shares) -> list[Queue]:
    """The queues at their next turn, whoever is next first."""
    ids = [queue.tenant_id for queue in queues]
    first = ids.index(shares.last) + 1 if shares.last is not None else 0
    left = [
        queue._replace(
            waiting=queue.waiting - shares.takes.get(queue.tenant_id, 0),
            deficit=shares.deficits.get(queue.tenant_id, 0.0),
        )
        for queue in queues
    ]
    return left[first:] + left[:first]


@given(queues(), st.integers(0, 300))
def test_it_fills_the_room_as_far_as_jobs_wait_and_takes_from_nobody_more_than_waits(waiting: list[Queue], room: int):
    takes = share_out(room, waiting).takes
    assert sum(takes.values()) == min(room, sum(queue.waiting for queue in waiting))
    assert all(0 < takes.get(queue.tenant_id, 1) <= max(1, queue.waiting) for queue in waiting)


@given(queues(), st.integers(0, 300))
def test_a_deficit_is_less_than_a_job_and_only_who_waits_has_one(waiting: list[Queue], room: int):
    shares = share_out(room, waiting)
    assert all(0 <= deficit < 1 for deficit in shares.deficits.values())
    assert set(shares.deficits) == {
        queue.tenant_id for queue in waiting if shares.takes.get(queue.tenant_id, 0) < queue.waiting
    }


@given(queues(st.just(BACKLOG)), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_shares_of_a_backlog_follow_the_weights_however_the_room_is_cut_up(waiting: list[Queue], rooms: list[int]):
    waiting = [queue._replace(deficit=0.0) for queue in waiting]
    weights = {queue.tenant_id: queue.weight for queue in waiting}
    got = dict.fromkeys(weights, 0)
    for room in rooms:
        shares = share_out(room, waiting)
        for tenant_id, take in shares.takes.items():
            got[tenant_id] += take
        waiting = after(waiting, shares)
    heaviest = max(weights.values())
    rounds = [taken * heaviest / weights[tenant_id] for tenant_id, taken in got.items()]
    for (tenant_id, weight), in_rounds in zip(weights.items(), rounds, strict=True):
        # A tenant is at most the job that it saves for, and a turn, behind or ahead of any other.
        assert abs(in_rounds - min(rounds)) <= heaviest / weight + heaviest / min(weights.values()) + 2, tenant_id


@given(queues(st.just(BACKLOG)), st.integers(1, 5))
def test_nobody_starves(waiting: list[Queue], room: int):
    heaviest = max(queue.weight for queue in waiting)
    hungry = {queue.tenant_id: -(-heaviest // queue.weight) + 1 for queue in waiting}  # rounds until a job at most
    turns = 0
    while hungry:
        shares = share_out(room, waiting)
        for tenant_id in shares.takes:
            hungry.pop(tenant_id, None)
        waiting = after(waiting, shares)
        turns += 1
        assert turns * room <= len(waiting) * (heaviest + 1) + room


def test_a_large_pile_does_not_slow_a_small_one():
    big, small = uuid.UUID(int=1), uuid.UUID(int=2)
    assert share_out(100, [Queue(big, 1, 950_000), Queue(small, 1, 7)]).takes == {big: 93, small: 7}


def test_the_next_room_begins_where_the_last_ended():
    ids = [uuid.UUID(int=n) for n in range(3)]
    shares = share_out(2, [Queue(one, 1, 9) for one in ids])
    assert (shares.takes, shares.last) == ({ids[0]: 1, ids[1]: 1}, ids[1])


def test_one_round_when_not_all_queues_were_looked_at():
    ids = [uuid.UUID(int=n) for n in range(3)]
    shares = share_out(100, [Queue(one, 1, 9) for one in ids], most_rounds=1)
    assert (shares.takes, shares.last) == (dict.fromkeys(ids, 1), ids[2])


def test_nothing_waits():
    assert share_out(9, []) == Shares({}, {}, None)
    assert share_out(9, [Queue(uuid.UUID(int=1), 1, 0)]) == Shares({}, {}, None)


@given(st.dictionaries(st.sampled_from("abcd"), WEIGHTS, min_size=1), st.integers(1, 400))
def test_turns_follow_the_weights_while_all_have_work(weights: dict[str, int], steps: int):
    turns, taken = Turns(weights), dict.fromkeys(weights, 0)
    for _ in range(steps):
        name = turns.order(weights)[0]
        turns.took(name)
        taken[name] += 1
    total = sum(weights.values())
    assert all(abs(taken[name] - steps * weight / total) <= len(weights) for name, weight in weights.items())


def test_an_idle_queue_saves_nothing_up():
    turns = Turns({"a": 1, "b": 1})
    for _ in range(100):
        turns.order("ab")
        turns.took("b")  # "a" was empty all the time
    taken = []
    for _ in range(6):
        taken.append(turns.order("ab")[0])
        turns.took(taken[-1])
    assert taken.count("b") >= 2  # not one credit for each of the hundred
