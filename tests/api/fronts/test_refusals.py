"""Every way a chat completion can fail raises the official client's right exception, with what to do about it."""

import datetime as dt
import uuid
from typing import Any

import msgspec
import openai
import pytest
from sqlalchemy import text

from api.fronts.failures import STATUSES, failed
from jobs.failures import FailureKind
from jobs.states import State
from tests.api.caller import Caller
from tests.api.fronts.clients import official
from tests.api.fronts.talk import events, http, job, said
from tests.api.fronts.upstream import TEXT
from tests.api.fronts.yard import Yard
from tests.jobs.test_signals import ENDING

HARD: dict[str, Any] = {"extra_body": {"intent": {"require": {"region": "moon"}}}}
LONG: dict[str, Any] = {"messages": said("word " * 40_000)}
STATUS: list[tuple[str, dict[str, Any], type[openai.APIStatusError], int, str]] = [
    ("no such model", {"model": "maker/none"}, openai.NotFoundError, 404, "model_not_found"),
    ("no such policy", {"extra_body": {"policy": "none"}}, openai.BadRequestError, 400, "model_not_found"),
    ("wrong field", {"n": 0}, openai.BadRequestError, 400, "invalid_value"),
    ("infeasible", HARD, openai.UnprocessableEntityError, 422, "intent_infeasible"),
    ("no key", {"model": "nowhere"}, openai.UnprocessableEntityError, 422, "intent_infeasible"),
    ("long", {"model": "maker/small"} | LONG, openai.BadRequestError, 400, "context_length_exceeded"),
    ("long", {"model": "maker/small@lab"} | LONG, openai.BadRequestError, 400, "context_length_exceeded"),
    ("long", LONG, openai.BadRequestError, 400, "context_length_exceeded"),
    ("400", {"model": "ill"}, openai.BadRequestError, 400, "bad_request"),
    ("500", {"model": "ill"}, openai.InternalServerError, 502, "transient"),
    ("529", {"model": "ill"}, openai.InternalServerError, 503, "overloaded"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", STATUS, ids=lambda case: case[0])
def test_each_failure_raises_its_class(
    client: openai.OpenAI, case: tuple[str, dict[str, Any], type[openai.APIStatusError], int, str], stream: bool
):
    words, asked, kind, status, code = case
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{"model": "auto", "messages": said(words), "stream": stream} | asked)
    error = caught.value
    assert (error.status_code, error.code) == (status, code)
    assert error.response.headers["content-type"] == "application/json"
    body: Any = error.body
    if "job" in body:
        assert body["message"].endswith(f"GET /v1/jobs/{body['job']} has the whole story")
        assert error.response.headers["x-tokenyard-job"] == body["job"]
        assert error.response.headers["x-should-retry"] == "false"


def test_a_window_that_the_provider_found_too_small_has_openai_s_code():
    error = {"kind": FailureKind.CONTEXT_TOO_LONG, "message": "The prompt does not fit the model's window"}
    found = failed(msgspec.structs.replace(ENDING, state=State.FAILED, error=error))
    assert (found.status, found.code) == (400, "context_length_exceeded")
    told = found.error(uuid.UUID(int=1))
    assert (told["type"], told["param"]) == ("invalid_request_error", "messages")


def test_a_wrong_key_is_an_authentication_error(yard: Yard):
    with (
        openai.OpenAI(base_url=yard.base_url, api_key="ty_none_none", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(model="auto", messages=said("hello"))


async def test_a_full_queue_is_a_rate_limit_error_with_its_time(caller: Caller):
    async with caller.database.statement() as connection:
        await connection.execute(text("update tenants set max_queued_jobs = 0"))
    with pytest.raises(openai.RateLimitError) as caught:
        await official(caller).chat.completions.create(model="auto", messages=said("hello"))
    assert caught.value.code == "queue_full"
    assert int(caught.value.response.headers["retry-after"]) > 0


@pytest.mark.parametrize("stream", [False, True])
def test_at_its_deadline_the_caller_gets_504_and_the_job_can_be_looked_at(
    client: openai.OpenAI, yard: Yard, stream: bool
):
    yard.upstream.gate.clear()
    deadline = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)).isoformat()
    asked: Any = {"deadline": deadline, "policy": "patient"}
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="auto", messages=said("hang"), stream=stream, extra_body=asked)
    yard.upstream.gate.set()
    body: Any = caught.value.body
    assert (caught.value.status_code, body["code"]) == (504, "deadline_passed")
    assert job(yard, body["job"])["state"] == "expired"


def shown_until_it_breaks(yard: Yard, client: openai.OpenAI, model: str, words: str) -> tuple[str, list[Any]]:
    """Let an answer break once its first pieces were seen: the job's name and what was shown."""
    yard.upstream.gate.clear()
    yard.upstream.broke = 0
    told = client.chat.completions.with_raw_response.create(model=model, messages=said(words), stream=True)
    chunks = iter(told.parse())
    shown = [next(chunks).choices[0].delta.content for _ in range(3)]
    yard.upstream.gate.set()
    with pytest.raises(openai.APIError, match="GET /v1/jobs/job_"):
        next(chunks)
    return told.headers["x-tokenyard-job"], shown


def test_a_stream_that_breaks_after_it_was_shown_ends_with_an_error(client: openai.OpenAI, yard: Yard):
    name, shown = shown_until_it_breaks(yard, client, "ill", "breaks")
    assert shown == ["", "One", " two"]
    assert job(yard, name)["error"]["code"] == "truncated"


def test_another_attempt_cannot_unsay_what_was_shown_and_its_answer_is_the_jobs(client: openai.OpenAI, yard: Yard):
    name, _ = shown_until_it_breaks(yard, client, "again", "breaks_once")
    found = job(yard, name)
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["failed", "accepted"]
    assert found["result"]["choices"][0]["message"]["content"] == TEXT
    with http(yard) as plain, plain.stream("GET", f"/v1/jobs/{name}/events") as response:
        told = list(events(response))
    (reset,) = [place for place, event in enumerate(told) if event.name == "reset"]
    assert (told[reset].id, told[reset + 1].id) == ("2.0", "2.1")
    assert [event.id for event in told[:reset] if event.name == "chunk"] == ["1.1", "1.2", "1.3"]
    answer = "".join(event.data["choices"][0]["delta"].get("content") or "" for event in told[reset + 1 : -2])
    assert answer == TEXT
    assert told[-1].data["state"] == "succeeded"


def test_every_kind_of_failure_has_a_status_of_the_closed_list():
    assert set(STATUSES) == set(FailureKind)
    assert set(STATUSES.values()) <= {400, 409, 422, 500, 502, 503, 504}
