"""What one drawing of the page is made from."""

from collections.abc import Sequence
from typing import Any

import msgspec

from jobs.health import Health
from jobs.store.budgets import Budget
from jobs.store.fleet import LiveWorker
from jobs.store.overview import Ended, LaneLoad, Latency, Pulse, Spent


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's figures and the yard's health. None: the first reading is still being made."""

    pulse: Pulse
    ended: Sequence[Ended] | None = None
    spent: Sequence[Spent] | None = None
    latencies: Sequence[Latency] | None = None
    lanes: Sequence[LaneLoad] | None = None
    workers: Sequence[LiveWorker] | None = None
    health: Health | None = None
    budgets: Sequence[Budget] | None = None
    failures: Sequence[Any] | None = None
    """Rows of `overview.newest_failures`."""
