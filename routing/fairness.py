"""Whose turn it is: deficit round robin between the tenants that wait, and weighted turns between a worker's lanes.

M. Shreedhar and G. Varghese, "Efficient Fair Queuing Using Deficit Round Robin", IEEE/ACM Transactions on Networking
4(3), 1996: each queue in turn is given a quantum in proportion to its weight and sends what its deficit counter pays
for; what is left of the quantum is kept for its next turn, and an empty queue keeps nothing.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

ENOUGH = 1.0 - 1e-9
"""A job costs a deficit of 1; sums of thirds and tenths miss it by a hair."""


class Queue(NamedTuple):
    """A tenant's jobs that wait in a lane."""

    tenant_id: uuid.UUID
    weight: int
    """Its share against the others', 1 or more."""
    waiting: int
    """Jobs that may be taken; more than the room counts like the room."""
    deficit: float = 0.0
    """What is left of its quanta: 0 up to less than 1 job."""


class Shares(NamedTuple):
    """Who gets how much of a room, and what to remember for the next one."""

    takes: dict[uuid.UUID, int]
    """Jobs a tenant; those that get none are left out."""
    deficits: dict[uuid.UUID, float]
    """Of every tenant that still waits."""
    last: uuid.UUID | None
    """Whose turn was the last; the next round begins behind it. None when nobody had one."""


def share_out(room: int, queues: Sequence[Queue], *, most_rounds: int | None = None) -> Shares:
    """Share a room for so many jobs among the queues, which come in the order of their turns.

    A round gives the heaviest queue one job and the others their part of one, so that the jobs of different tenants
    alternate as finely as the weights allow. It is work conserving: the room is left unfilled only when nothing waits
    (or `most_rounds` have passed: one, when there are more queues than were looked at). No queue waits longer than
    heaviest weight / own weight rounds for a job.

    >>> a, b = uuid.UUID(int=1), uuid.UUID(int=2)
    >>> share_out(8, [Queue(a, 3, 1000), Queue(b, 1, 1000)]).takes == {a: 6, b: 2}
    True
    """
    takes: dict[uuid.UUID, int] = {}
    deficits = {queue.tenant_id: queue.deficit for queue in queues}
    last: uuid.UUID | None = None
    active = [queue for queue in queues if queue.waiting > 0]
    rounds = 0
    while active and room > 0 and (most_rounds is None or rounds < most_rounds):
        heaviest = max(queue.weight for queue in active)
        rounds += 1
        for tenant_id, weight, waiting, _ in active:
            if room <= 0:
                break
            last = tenant_id
            deficit = deficits[tenant_id] + weight / heaviest
            if deficit >= ENOUGH:
                takes[tenant_id] = takes.get(tenant_id, 0) + 1
                room -= 1
                deficit = max(0.0, deficit - 1.0)
                if takes[tenant_id] >= waiting:
                    deficit = 0.0
            deficits[tenant_id] = deficit
        active = [queue for queue in active if takes.get(queue.tenant_id, 0) < queue.waiting]
    left = {queue.tenant_id for queue in queues if takes.get(queue.tenant_id, 0) < queue.waiting}
    return Shares(takes, {tenant_id: deficits[tenant_id] for tenant_id in left}, last)


class Turns:
    """Weighted turns between a few named queues of which only the taker can see whether they are empty.

    The same round robin seen from the other end: `order` says where to look first, `took` is told where something was
    found. Every queue before that one was empty, and an empty queue keeps no credit.

    >>> turns = Turns({"standard": 3, "bulk": 1})
    >>> taken = []
    >>> for _ in range(8):  # both always have something
    ...     taken.append(turns.order(["standard", "bulk"])[0])
    ...     turns.took(taken[-1])
    >>> "".join(name[0] for name in taken)
    'sbsssbss'
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._weights = weights
        self._served: dict[str, float] = {}
        """What each has had, over its weight."""

    def order(self, names: Iterable[str]) -> list[str]:
        """The queues, the one most behind its share first; equals as they came."""
        return sorted(names, key=lambda name: self._served.setdefault(name, 0.0))

    def took(self, name: str) -> None:
        """Something was found in this queue, and nothing in those before it."""
        had = self._served.setdefault(name, 0.0)
        self._served = {other: max(served, had) for other, served in self._served.items()}
        self._served[name] = had + 1.0 / self._weights.get(name, 1)
