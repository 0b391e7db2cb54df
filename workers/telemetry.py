"""What a worker tells of its jobs and calls: metrics, log fields and spans, in the two places where they begin and end.

Labels are looked up once: an observation costs about a microsecond, and with no collector set there are no spans.
"""

import contextlib
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from jobs import logs, meters, traces
from jobs.chat import Answer
from jobs.failures import Failure
from jobs.ids import show
from jobs.job import Job
from jobs.settings import Settings
from jobs.store.rows import Closing
from routing.eligibility import Step
from routing.limits import Refusal

log = logging.getLogger(__name__)
VERSION = re.compile(r"(?:[-@:.]?(?:[0-9]{1,8}|latest|preview|v[0-9]+)){0,6}", re.ASCII)
"""What a provider may add to the name that it was asked for (`gpt-4o-2024-08-06`); other words of its are not told."""


class _Named(msgspec.Struct):
    """The one field of an answer that a span wants."""

    model: str = ""


class Carried:
    """A job in hand; set `word` to how it came to rest."""

    word: str = "lost"


class Called:
    """A call under way; tell `ended` what came back."""

    def __init__(self) -> None:
        self.closing: Closing | None = None
        self.result: Answer | Failure | None = None

    def ended(self, closing: Closing, result: Answer | Failure) -> None:
        """It came back; a call that never says so was cut."""
        self.closing, self.result = closing, result


class Telemetry:
    """One per worker process."""

    def __init__(self, settings: Settings) -> None:
        self._traces = traces.start(settings.telemetry, "tokenyard-worker")
        self._addresses = {name: urlsplit(each.base_url).hostname or "" for name, each in settings.providers.items()}

    @contextlib.contextmanager
    def carrying(self, job: Job) -> Iterator[Carried]:
        """Around everything that is done for a claimed job."""
        logs.bind_job(job.id, job.lane.value)
        carried = Carried()
        if self._traces is None:
            yield carried
        else:
            with self._traces.carrying(job.lane.value, show("job", job.id), job.traceparent) as span:
                yield carried
                span.tell({"tokenyard.rest": carried.word}, "failed" if carried.word == "failed" else None)
        _rested(job.lane.value, carried.word)
        if carried.word == "failed":
            log.info("the job failed")
        else:
            log.debug("the job rests: %s", carried.word)

    @contextlib.contextmanager
    def calling(self, job: Job, attempt_id: uuid.UUID, step: Step) -> Iterator[Called]:
        """Around one attempt, from its ledger row to its reply."""
        deployment, called = step.deployment, Called()
        meters.CALLS_IN_FLIGHT.inc()
        try:
            with logs.attempt(attempt_id, deployment.id):
                if self._traces is None:
                    yield called
                else:
                    with self._traces.calling(deployment.upstream, self._about(job, attempt_id, step)) as span:
                        yield called
                        _tell(span, called, deployment.upstream)
                _log(called)
        finally:
            meters.CALLS_IN_FLIGHT.dec()
            _count(deployment.id, called)

    def refused(self, refusal: Refusal) -> None:
        """The gate held a call back."""
        _refusals(refusal.reason)()

    def _about(self, job: Job, attempt_id: uuid.UUID, step: Step) -> traces.Attributes:
        deployment = step.deployment
        return {
            "gen_ai.provider.name": deployment.provider,
            "gen_ai.request.model": deployment.upstream,
            "gen_ai.request.stream": job.request.wants_stream,
            "server.address": self._addresses[deployment.provider],
            "tokenyard.job.id": show("job", job.id),
            "tokenyard.attempt.id": show("att", attempt_id),
            "tokenyard.deployment": deployment.id,
            "tokenyard.lane": job.lane.value,
            "tokenyard.tier": step.tier,
        }

    def close(self) -> None:
        """Send the spans that wait."""
        if self._traces is not None:
            self._traces.close()


def _rested(lane: str, word: str) -> None:
    _rests(lane, word)()


@lru_cache(maxsize=256)
def _rests(lane: str, word: str) -> Callable[[], None]:
    return meters.RESTED.labels(lane, word).inc


@lru_cache(maxsize=64)
def _refusals(reason: str) -> Callable[[], None]:
    return meters.GATE_REFUSALS.labels(reason).inc


@lru_cache(maxsize=4096)
def _calls(deployment: str, outcome: str, failure: str) -> Callable[[], None]:
    return meters.CALLS.labels(deployment, outcome, failure).inc


@lru_cache(maxsize=1024)
def _unpriced(deployment: str) -> Callable[[], None]:
    return meters.UNPRICED.labels(deployment).inc


@lru_cache(maxsize=1024)
def _durations(deployment: str) -> tuple[Callable[[float], None], Callable[[float], None]]:
    return meters.CALL_DURATION.labels(deployment).observe, meters.FIRST_TOKEN.labels(deployment).observe


def _count(deployment: str, called: Called) -> None:
    closing = called.closing
    if closing is None:
        _calls(deployment, "cut", "")()
        return
    if _lacks_a_bill(called):
        _unpriced(deployment)()
    failure = closing.failure.value if closing.failure else ""
    _calls(deployment, "answered" if isinstance(called.result, Answer) else closing.outcome.value, failure)()
    total, first_token = _durations(deployment)
    if closing.total_ms:
        total(closing.total_ms / 1000)
    if closing.first_token_ms is not None:
        first_token(closing.first_token_ms / 1000)


def _lacks_a_bill(called: Called) -> bool:
    """Whether the provider said what was used, and what that costs is unknown all the same."""
    closing, result = called.closing, called.result
    if closing is None or closing.cost_usd is not None:
        return False
    return closing.usage is not None or (isinstance(result, Answer) and result.has_odd_usage)


def _log(called: Called) -> None:
    closing = called.closing
    if isinstance(called.result, Answer) and called.result.has_odd_usage:
        log.warning("the provider's token counts fit no known way of counting: the cost of the call is unknown")
    if closing is None or not log.isEnabledFor(logging.INFO):
        return
    if closing.failure is not None:
        log.info("the call failed: %s (HTTP %s) after %s ms", closing.failure.value, closing.status, closing.total_ms)
    else:
        log.debug("the call was answered after %s ms for %s USD", closing.total_ms, closing.cost_usd)


def _tell(span: traces.Traced, called: Called, asked: str) -> None:
    closing = called.closing
    if closing is None:
        return
    about: dict[str, str | int | float | bool | list[str]] = {}
    usage = closing.usage
    if usage is not None:
        counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        about |= {f"gen_ai.usage.{name}": count for name, count in counts.items() if count is not None}
    if isinstance(called.result, Answer):
        about["gen_ai.response.finish_reasons"] = [called.result.finish_reason]
        if model := _model_of(called.result, asked):
            about["gen_ai.response.model"] = model
    if closing.first_token_ms is not None:
        about["gen_ai.response.time_to_first_chunk"] = closing.first_token_ms / 1000
    if closing.cost_usd is not None:
        about["tokenyard.cost_usd"] = float(closing.cost_usd)
    if closing.status is not None:
        about["http.response.status_code"] = closing.status
    span.tell(about, closing.failure.value if closing.failure else None)


def _model_of(answer: Answer, asked: str) -> str | None:
    """What the provider says answered: the name that was asked for, or a version of it."""
    try:
        named = msgspec.json.decode(answer.body, type=_Named).model
    except msgspec.DecodeError:
        return None
    asked = asked.rpartition("/")[2]
    is_a_version = named.startswith(asked) and VERSION.fullmatch(named.removeprefix(asked))
    return named if is_a_version else None
