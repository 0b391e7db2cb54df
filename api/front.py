"""What a request needs of its process: settings, the record, the bells, the keys, the catalogue; made once."""

import uuid
from collections.abc import Mapping

import msgspec
from fastapi import Request

from api.admission import Admission
from api.allowance import Allowance
from api.endings import Endings
from api.figures import Figures
from api.keys import Keyring
from api.page.watch import Watch
from api.quota import Quota
from api.ring import Ring
from jobs.health import HealthReader
from jobs.job import Submission
from jobs.lessons import Lessons
from jobs.policy import Policy
from jobs.resolver import Resolver
from jobs.settings import Settings
from jobs.signals import Signals
from jobs.store.direct import Direct
from jobs.store.flush import Flush
from jobs.store.session import Database
from jobs.streams import TokenHub
from jobs.traces import Traces
from routing.addresses import Rules
from routing.plan import Yard


class Front(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The composition of an API process."""

    settings: Settings
    database: Database
    lines: Direct
    """For what every job passes: its insert, and the look at its end."""
    signals: Signals
    tokens: TokenHub
    endings: Endings
    health: HealthReader
    lessons: Lessons
    ring: Ring
    submissions: Flush[Submission, uuid.UUID]
    keys: Keyring
    quota: Quota
    allowance: Allowance
    admission: Admission
    yard: Yard
    policies: Mapping[str, Policy]
    watch: Watch
    migration_head: str
    figures: Figures
    traces: Traces | None
    resolve: Resolver
    """Looks up the hosts of webhook URLs."""
    webhook_rules: Rules


def front_of(request: Request) -> Front:
    """The front of the process that serves this request."""
    front: Front = request.app.state.front
    return front
