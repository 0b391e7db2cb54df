"""Answers whose server left the thoughts in the content, end to end: no second call is paid for them."""

import msgspec
import pytest

from jobs.policy import Policy
from jobs.streams import TokenStreams
from jobs.tokens import Place
from tests.workers.lab import POLICY, Lab, answers
from tests.workers.test_streams import STOP, chunk, streaming, under, written

SMALL_A = "maker/small@a"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
REQUEST = msgspec.json.encode(
    {
        "model": "auto",
        "messages": [{"role": "user", "content": "Where?"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}},
    }
)
OPEN_HANDED: Policy = msgspec.structs.replace(POLICY, min_confidence=None)


@pytest.mark.parametrize("opening", ["<think>", ""], ids=["with its tag", "opened by the template"])
async def test_json_behind_thoughts_is_taken_at_the_first_call(lab: Lab, opening: str):
    """Faults W14: two paid calls, and the job failed."""
    lab.script(a=[answers(f'{opening}See [1]. Or {{"city": "Riga"}}?</think>\n{{"city": "Oslo"}}')])
    job = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(job) == "succeeded"
    assert await lab.outcomes(job) == [(SMALL_A, "accepted")]
    message = msgspec.json.decode(await lab.answer_of(job))["choices"][0]["message"]
    assert message["content"] == '{"city": "Oslo"}'
    assert message["reasoning_content"] == 'See [1]. Or {"city": "Riga"}?'
    assert [change["field"] for change in (await lab.row(job)).adaptations] == ["logprobs"]


async def test_thoughts_that_never_end_are_no_answer(lab: Lab):
    """Faults W14: the draft within was accepted."""
    lab.script(a=[answers('<think>Perhaps {"city": "Riga"}'), answers('{"city": "Oslo"}')])
    job = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(job) == "succeeded"
    assert [(row.outcome, row.failure) for row in await lab.attempts(job)] == [
        ("failed", "empty_answer"),
        ("accepted", None),
    ]


async def test_a_stream_shows_thoughts_as_reasoning_and_stores_what_it_showed(lab: Lab, redis_url: str):
    under(lab, OPEN_HANDED)
    pieces = [chunk("", role="assistant"), chunk("<thi"), chunk("nk>Hm."), chunk("</think>\n"), chunk("Oslo"), STOP]
    lab.script(a=[streaming(*pieces)])
    asking = b'{"model": "auto", "messages": [{"role": "user", "content": "hi"}], "stream": true}'
    job = await lab.claimed(request_raw=asking)
    assert await lab.carry(job) == "succeeded"
    store = TokenStreams(redis_url)
    try:
        await written(store, job.id, Place(1, 7))
        shown = [each for entry in await store.after(job.id, Place()) for each in entry.chunks]
    finally:
        await store.aclose()
    deltas = [msgspec.json.decode(each)["choices"][0]["delta"] for each in shown]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Oslo"
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "Hm."
    message = msgspec.json.decode(await lab.answer_of(job))["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Oslo", "Hm.")
