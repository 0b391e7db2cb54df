"""How the table of errors is looked up: every row can be reached, has a source, and no body raises or is repeated."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.failures import FailureKind, Scope
from routing.dialects.base import WireReply
from routing.dialects.error_facts import Fact, Facts, Sign
from routing.dialects.error_phrases import PHRASES
from routing.dialects.errors import FACTS
from routing.dialects.registry import DIALECTS
from tests.routing.dialects.provider_errors import CANARY, judged, voice

OURS = Fact(kind=FailureKind.NO_CREDIT, words=("w",), source="s")
THEIRS = Fact(kind=FailureKind.RATE_LIMITED, words=("w",), source="s", accents=frozenset({"a"}))
ALIEN = Fact(kind=FailureKind.BAD_KEY, words=("v",), source="s", accents=frozenset({"b"}), scope=Scope.ACCOUNT)


@pytest.mark.parametrize(
    ("accent", "word", "row"),
    [("a", "w", THEIRS), ("b", "w", OURS), ("", "w", OURS), ("b", "v", ALIEN), ("a", "v", None), ("", "v", ALIEN)],
)
def test_an_accents_own_row_goes_first_and_an_unknown_accent_may_be_any(
    accent: str, word: str, row: Fact | None
) -> None:
    assert Facts((OURS, THEIRS, ALIEN)).meaning(Sign(400, (word,), accent=accent)) is row


def test_a_phrase_goes_before_a_broad_word_and_behind_an_exact_one() -> None:
    broad = Fact(kind=FailureKind.BAD_KEY, words=("b",), source="s", is_broad=True)
    phrase = Fact(kind=FailureKind.OVER_LIMIT, phrases=("too dear",), source="s")
    known = Facts((OURS, broad, phrase))
    assert known.meaning(Sign(400, ("b",), "Too dear for you")) is phrase
    assert known.meaning(Sign(400, ("b", "w"), "Too dear for you")) is OURS
    assert known.meaning(Sign(500, ("b",), "Too dear for you")) is broad
    assert known.meaning(Sign(400, ("b",), "It is too dear")) is broad


@pytest.mark.parametrize("fact", FACTS.rows, ids=lambda fact: f"{fact.kind}-{(fact.words or fact.phrases)[0][:30]}")
def test_each_row_has_a_source_and_can_be_reached(fact: Fact) -> None:
    assert fact.source
    assert bool(fact.words) != bool(fact.phrases)
    accent = next(iter(sorted(fact.accents)), "openai")
    status = next(iter(sorted(fact.statuses)), 400)
    for word in fact.words:
        assert word == word.lower().replace("-", "_")
        assert FACTS.meaning(Sign(status, (word,), accent=accent)) is fact


def test_phrases_have_no_brackets_that_catch() -> None:
    known = Facts(PHRASES)
    assert known.meaning(Sign(400, message="")) is None
    assert known.meaning(Sign(400, message="x" * 10_000)) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "errors",
                    "code",
                    "type",
                    "message",
                    "param",
                    "details",
                    "metadata",
                    "raw",
                    "headers",
                    "innererror",
                    "status",
                    "detail",
                    "@type",
                    "violations",
                    "quotaId",
                    "quotaValue",
                    "x",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens", "x-ratelimit-limit-tokens", "date"]),
    st.text(max_size=12),
)


@pytest.mark.parametrize("name", [*DIALECTS, "zai", "dashscope", "openrouter"])
@given(body=JSON, status=st.sampled_from([200, 400, 402, 403, 413, 424, 429, 500, 599]), headers=HEADERS)
def test_no_error_body_raises_or_is_repeated(name: str, body: Any, status: int, headers: dict[str, str]) -> None:
    raw = json.dumps({"error": body} if status == 400 else body).encode()
    found = voice(name).classify(WireReply(status, headers, raw))
    assert found.retry_after_s is None or found.retry_after_s >= 0.0
    assert found.limit is None or found.limit.tokens > 0


@pytest.mark.parametrize("name", [*DIALECTS, "openrouter"])
@pytest.mark.parametrize("place", ["message", "code", "type", "status", "param"])
def test_nothing_of_the_providers_prose_is_repeated(name: str, place: str) -> None:
    for prose in (CANARY + " in prose", f"prompt is too long: {CANARY}", f"your credit balance is too low, {CANARY}"):
        assert CANARY not in judged(name, 400, {"error": {place: prose}}).message
