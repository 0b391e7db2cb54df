"""A worker against the sandbox: answers that break their schema are mended or asked for again, on each wire."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jsonschema
import msgspec
import pytest

from cli.offline import BASES
from tests.thirdparty.stage import SPOKEN, carried, opened, submitted
from tests.workers.lab import Lab

from .conftest import SMALL

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA, "strict": True}}
TOOLS = {
    "tools": [{"type": "function", "function": {"name": "trip", "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "trip"}},
}
DIALECT = pytest.mark.parametrize("dialect", SPOKEN)


@pytest.fixture
async def lab(provider: Any, database_url: str, redis_url: str) -> AsyncIterator[Lab]:
    bases = {name: provider.url + BASES[name] for name in SPOKEN}
    async with opened(bases, database_url, redis_url, upstream=SMALL) as made:
        yield made


def arm(client: httpx2.Client, **fault: Any) -> None:
    assert client.post("/_sandbox/faults", json={"faults": [fault]}).status_code == 200


@DIALECT
async def test_an_answer_that_breaks_its_schema_is_asked_for_again(lab: Lab, client: httpx2.Client, dialect: str):
    arm(client, kind="bad_json", times=1)
    job = await submitted(lab, dialect, response_format=FORMAT)
    answer = await carried(lab, job)
    jsonschema.validate(msgspec.json.decode(answer.choices[0].message.content or ""), SCHEMA)
    broken, kept = await lab.attempts(job)
    assert (broken.failure, kept.outcome) == ("invalid_answer", "accepted")
    assert broken.cost_usd > 0


@DIALECT
async def test_json_that_breaks_off_within_a_value_is_asked_for_again(lab: Lab, client: httpx2.Client, dialect: str):
    arm(client, kind="bad_json", breaks="syntax", times=1)
    job = await submitted(lab, dialect, response_format=FORMAT)
    answer = await carried(lab, job)
    jsonschema.validate(msgspec.json.decode(answer.choices[0].message.content or ""), SCHEMA)
    assert [row.failure for row in await lab.attempts(job)] == ["invalid_answer", None]


@DIALECT
async def test_arguments_that_break_their_schema_are_asked_for_again(lab: Lab, client: httpx2.Client, dialect: str):
    arm(client, kind="bad_arguments", times=1)
    job = await submitted(lab, dialect, **TOOLS)
    message = (await carried(lab, job)).choices[0].message
    told = [call.function.arguments for call in message.tool_calls or () if call.type == "function"]
    assert len(told) == 1
    jsonschema.validate(msgspec.json.decode(told[0]), SCHEMA)
    assert [row.failure for row in await lab.attempts(job)] == ["invalid_answer", None]
