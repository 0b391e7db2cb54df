"""What kind of text a prompt is: told right for nearly all real text, and never an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.texts import Texts
from routing.token_kinds import CLASSES, KINDS, TABLE
from routing.tokens import COUNTS, measured
from tests.routing.yards import UNHURRIED

SCRIPTS = {"russian": "cyrillic", "hindi": "indic", "japanese": "kana", "chinese": "han", "korean": "hangul"}
NOT_ONE_KIND = {"python", "markdown", "json", "questions"}


def test_nineteen_of_twenty_prompts_in_a_language_are_known_for_it():
    drawn = [each for each in Texts().draw(600, half=1, seed=5) if each.source not in NOT_ONE_KIND]
    right = [measured(text.encode()).kind == SCRIPTS.get(source, source) for source, text in drawn]
    assert sum(right) >= 0.95 * len(right)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "latin"),
        ("x" * 100, "latin"),
        ('{"name": "a", "size": "b", "place": "c"}', "json"),
        ("def f(a): return [g(x) for x in a if x > 0 and (x % 2) == 1];", "code"),
        ("\ud800", "hangul"),  # half of a pair, in bytes that follow theirs
    ],
)
def test_short_and_strange_texts_have_a_kind(text, kind):
    assert measured(text.encode("utf-8", "surrogatepass")).kind == kind


@UNHURRIED
@given(st.binary())
def test_any_bytes_are_measured_whole(raw):
    found = measured(raw)
    assert found.kind in KINDS
    assert len(found.counts) == len(COUNTS)
    by_class = dict(zip(COUNTS, found.counts, strict=True))
    assert by_class["inside"] + sum(by_class[name] for name in CLASSES) == len(raw)


def test_every_byte_has_at_most_one_class():
    assert sum(map(len, CLASSES.values())) == 256 - TABLE.count(0)
