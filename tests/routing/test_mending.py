"""Text that is nearly JSON: mended so that nothing of it is lost, or a fault."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.checks import read_json
from routing.mending import MOST_DEPTH, Fault, mend, repeats_a_key

MENDED = [
    ("```json\n{}\n```", "{}"),
    ('Sure! {"a": [1, "b"]} I hope that it helps.', '{"a":[1,"b"]}'),
    ('<json>{"a": 1}</json>', '{"a":1}'),
    ("{'a': 'it's \"so\"'}", '{"a":"it\'s \\"so\\""}'),
    ("{\u201ca\u201d: \u201cb \u2018c\u2019\u201d}", '{"a":"b \u2018c\u2019"}'),
    ("{a_1: 1, $b: 2}", '{"a_1":1,"$b":2}'),
    ('{"a": True, "b": FALSE, "c": None}', '{"a":true,"b":false,"c":null}'),
    ('{"a": [1, 2,],}', '{"a":[1,2]}'),
    ('{"a": "x"\n"b": [{} {}]}', '{"a":"x","b":[{},{}]}'),
    ('{"a": 1, // a note\n /* and\nanother */ "b": 2 # the last\n}', '{"a":1,"b":2}'),
    ('{"a": "two\nlines\tand \x00"}', '{"a":"two\\nlines\\tand \\u0000"}'),
    ('{"a": "C:\\dir \\u00e9 \\u12 \\\' \\"}', Fault.CUT),
    ('{"a": "C:\\dir \\u00e9 \\u12 \\\' \\""}', '{"a":"C:\\\\dir \\u00e9 \\\\u12 \' \\""}'),
    ('{"a": "she said "yes" twice"}', '{"a":"she said \\"yes\\" twice"}'),
    ('{"a": [1, {"b": "x"}', '{"a":[1,{"b":"x"}]}'),
    ('{"a": [1, 2}', '{"a":[1,2]}'),
    ('{"a": 12\n', '{"a":12}'),
    ('{"a": 1}}', '{"a":1}'),
    ('As [requested] for {name}: {"a": "[b] {c}"}, see [link](x). :)', '{"a":"[b] {c}"}'),
    ("{'a': +.5, 'b': 5., 'c': -1E+5}", '{"a":0.5,"b":5.0,"c":-1E+5}'),
    ("{'a': 123456789012345678901234567890, 'b': 0.10}", '{"a":123456789012345678901234567890,"b":0.10}'),
]


@pytest.mark.parametrize(("text", "mended"), MENDED, ids=range(len(MENDED)))
def test_punctuation_is_mended_and_numbers_keep_their_digits(text: str, mended: str | Fault):
    assert mend(text) == mended


FAULTS = [
    # no value
    ("It rains.", Fault.NOTHING),
    ("", Fault.NOTHING),
    ("]}", Fault.NOTHING),
    # more than one
    ('Answer: {"a": 1}. (Not {"b": 2}.)', Fault.SEVERAL),
    ('{"city":"Riga"}{"city":"Oslo"}', Fault.SEVERAL),
    ('{"a": 1}\n{"a": 1}', Fault.SEVERAL),
    ("{'a': 1} or {'a': 2}", Fault.SEVERAL),
    ('See [1]. {"a": 1}', Fault.SEVERAL),
    ('{"a": 1}\nSources: [1]', Fault.SEVERAL),
    ("[1], [2]", Fault.SEVERAL),
    ("[1], 2", Fault.SEVERAL),
    ('{"a": 1}, b: 2', Fault.SEVERAL),
    ('[true] {"a": 1}', Fault.SEVERAL),
    ('[] {"a": 1}', Fault.SEVERAL),
    ("[see below]", Fault.NOTHING),
    ('{"a": 1}, "b": 2', Fault.SEVERAL),
    ('{"a": 1}, "b": 2}', Fault.SEVERAL),
    ('"result": {"a": 1}', Fault.SEVERAL),
    ('{"a": 1} {"b": ', Fault.SEVERAL),
    ('{"a": 1} // or {"b": 2}', Fault.SEVERAL),
    # cut
    ('{"a": "hel', Fault.CUT),
    ('{"a": 12', Fault.CUT),
    ('{"a": -', Fault.CUT),
    ("[1, 2,", Fault.CUT),
    ('{"a": 1, "b"', Fault.CUT),
    ('{"a": 1, "b":', Fault.CUT),
    ('{"a": {', Fault.CUT),
    ('{"a": "\\', Fault.CUT),
    # a guess
    ('{"a": tru', Fault.BROKEN),
    ('{"a": NaN}', Fault.BROKEN),
    ('{"a": -Infinity}', Fault.BROKEN),
    ('{"a": undefined}', Fault.BROKEN),
    ('[NaN] {"a": 1}', Fault.BROKEN),
    ('{"a": some words}', Fault.BROKEN),
    ('{"a": 007}', Fault.BROKEN),
    ('{"a": 1.2.3}', Fault.BROKEN),
    ('{"a": 1/2}', Fault.BROKEN),
    ('{"a": 10 %}', Fault.BROKEN),
    ('{"a": 1,000}', Fault.BROKEN),
    ("[10 000]", Fault.BROKEN),
    ('{"a": {"b": 1}{"c": 2}}', Fault.BROKEN),
    ('{"a", "b"}', Fault.BROKEN),
    ('{"a": }', Fault.BROKEN),
    ('{"a": 1; "b": 2}', Fault.BROKEN),
    ("[1,, 2]", Fault.BROKEN),
    ("[1, ...]", Fault.BROKEN),
    ('["a""b"]', Fault.BROKEN),
    ('{{"a": 1}}', Fault.BROKEN),
    ("[1}", Fault.BROKEN),
    ('["a" and [1] "b"]', Fault.BROKEN),
    ('{"a": 1 /* was {"b": 2} */}', Fault.BROKEN),
    ('{"a": "the "x" #1 thing",\n "b": 2}', Fault.BROKEN),
    ("[" * (MOST_DEPTH + 1), Fault.TOO_DEEP),
]


@pytest.mark.parametrize(("text", "fault"), FAULTS, ids=range(len(FAULTS)))
def test_what_would_lose_or_make_up_something_is_a_fault(text: str, fault: Fault):
    assert mend(text) is fault
    assert read_json(text).fault is fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1, "a": 2}', Fault.REPEATED),
        ('{"a": 1, "a": "1"}', Fault.REPEATED),
        ('{"a": 1, "a": true}', Fault.REPEATED),
        ('[{"b": {"a": [1], "a": [1, 2]}}]', Fault.REPEATED),
        ("{'a': 1, 'a': 2}", Fault.REPEATED),
        ('{"a": 1, "\\u0061": 2}', Fault.REPEATED),
        ('{"a": 1, "a": 1}', None),
        ('{"a": {"b": 1}, "c": {"b": 2}}', None),
        ('{"a": 1e400}', Fault.BROKEN),
        ('{"a": "\\ud800"}', Fault.BROKEN),
        ("{'a': '\ud800'}", Fault.BROKEN),
        ("[" * 100_000 + "]" * 100_000, Fault.TOO_DEEP),
    ],
)
def test_json_that_says_two_things_or_what_nobody_can_hold_is_a_fault(text: str, fault: Fault | None):
    assert read_json(text).fault is fault


KEYS = st.text(st.sampled_from("abc_1 \"'é\\/{[:,"), min_size=1, max_size=4)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
CONTAINERS = st.lists(VALUES, max_size=3) | st.dictionaries(KEYS, VALUES, max_size=3)
PIECES = [
    "Answer: ", ". (Not ", ")", ", ", ":", '"', "'", "`", "```json\n", "```", "{", "}", "[", "]", "// ", "/* ", " */",
    "# ", "[b] ", "{c}", "\n", "NaN", "1e400", "tru", "-", "12", "\\", '"a": ', "a: ", "...", "\u201c", "\u201d", "x",
]  # fmt: skip


@st.composite
def joined(draw: st.DrawFn) -> str:
    """Whole values, cut values, prose and punctuation, in any order."""
    whole = CONTAINERS.map(json.dumps)
    cut = st.builds(lambda text, part: text[: int(len(text) * part)], whole, st.floats(0, 1))
    return "".join(draw(st.lists(whole | cut | st.sampled_from(PIECES), min_size=1, max_size=6)))


def whole_values(text: str) -> list[tuple[Any, str]]:
    """Every complete object or array of a text that stands in no other one, found by the standard library.

    Each with its text, as it is where that stands in single quotes.
    """
    found, at, decoder = [], 0, json.JSONDecoder()
    while (start := next((at + n for n, char in enumerate(text[at:]) if char in "{["), None)) is not None:
        try:
            value, at = decoder.raw_decode(text, start)
        except ValueError:
            at = start + 1
        else:
            found.append((value, text[start:at].replace('\\"', '"')))
    return found


def holds(value: Any, part: Any, text: str) -> bool:
    """Whether a part stands somewhere in a value, also as the text of a string."""
    if value == part:
        return True
    if isinstance(value, dict):
        return any(holds(inner, part, text) for inner in (*value.values(), *value))
    if isinstance(value, list):
        return any(holds(inner, part, text) for inner in value)
    return isinstance(value, str) and (text in value or any(part == found for found, _ in whole_values(value)))


@given(joined())
def test_no_complete_value_of_a_text_is_lost(text: str):
    read = read_json(text)
    if read.fault is None:
        assert json.loads(read.text) == read.value
        assert all(holds(read.value, *part) for part in whole_values(text))


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower().replace("none", "null"))


@given(joined())
def test_every_word_between_the_brackets_is_in_what_comes_out_and_no_other(text: str):
    mended = mend(text)
    if isinstance(mended, Fault) or any(mark in text for mark in ("\\", "//", "/*", "#", "[b]", "{c}")):
        return  # escapes are spelled anew, comments and asides are left out
    start = min(place for place in (text.find("{"), text.find("[")) if place >= 0)
    said, given_words = words(mended), words(text[start:])
    assert said == given_words[: len(said)]
    closed = max(text.rfind("}"), text.rfind("]"))
    assert len(said) >= len(words(text[start : closed + 1]))


def slips(text: str) -> list[str]:
    """A JSON text with slips that lose nothing."""
    return [
        f"```json\n{text}\n```",
        f"Here you are:\n{text}\nAnything else?",
        text.replace(", ", ",\n// so far\n"),
        re.sub(r"([\]}])$", r", \1", text) if len(text) > 2 else text,
        text.replace("true", "True").replace("null", "None"),
        text[:-1] if text[-2] in '"]}' else text,
    ]


PLAIN = st.text(st.sampled_from("abc xyz.!?é"), min_size=1, max_size=6)
PLAIN_VALUES = st.recursive(
    PLAIN | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(PLAIN_VALUES, max_size=3) | st.dictionaries(PLAIN, PLAIN_VALUES, max_size=3))
def test_a_slip_in_punctuation_costs_no_answer(value: Any):
    for text in slips(json.dumps(value, ensure_ascii=False)):
        assert read_json(text).value == value, text


@given(st.text(max_size=40) | joined())
def test_nothing_makes_it_raise(text: str):
    read_json(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"' * 50_000,
        "[1 " * 50_000,
        "/*" * 50_000 + "{",
        "[" + "/*" * 50_000,
        '{"a": "' + '" x' * 50_000 + '"}',
        '{"a": "' + ('"' + " " * 1_000 + "x") * 100 + '"}',
        '{"a": 1' + " " * 200_000,
        '{"a": 1}' + '"     ' * 50_000,
        "[" + "}" * 50_000,
        '{"a": 1}' + "[b" * 50_000 + "[c]" * 50_000,
    ],
    ids=[
        "openings",
        "numbers",
        "comments",
        "open comments",
        "quotes",
        "blanks after quotes",
        "blanks",
        "keys",
        "ends",
        "asides",
    ],
)
def test_a_long_text_is_read_in_one_pass(text: str):
    """Going back over what was read would take minutes here."""
    read_json(text)


def test_a_key_that_repeats_is_found_at_any_size():
    many = json.dumps({str(n): n for n in range(1_000)})
    assert not repeats_a_key(many)
    assert repeats_a_key(many[:-1] + ', "7": 8}')
