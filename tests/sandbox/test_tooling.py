"""Which tools are called, and with what, follows from the request alone."""

import msgspec
import pytest

from sandbox.speech import Ask, Tool, Toolbox, Turn
from sandbox.tooling import broken_call, called, calls, quoted

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = (Tool("get_weather", SCHEMA), Tool("get_time", SCHEMA))


def names(text: str, *more: Turn, **box: object) -> list[str]:
    toolbox = Toolbox(TOOLS, **box)  # type: ignore[arg-type]
    return [tool.name for tool in called(Ask(model="m", turns=(Turn("user", text), *more), toolbox=toolbox))]


@pytest.mark.parametrize(
    ("text", "box", "expected"),
    [
        ("Hello", {}, []),
        ("Call get_time", {}, ["get_time"]),
        ("Call get_times", {}, []),
        ("Use a tool", {}, ["get_weather"]),
        ("Use all tools", {}, ["get_weather", "get_time"]),
        ("Use all tools", {"is_parallel": False}, ["get_weather"]),
        ("Use all tools", {"mode": "none"}, []),
        ("Hello", {"mode": "forced"}, ["get_weather"]),
        ("Hello", {"mode": "forced", "allowed": ("get_time",)}, ["get_time"]),
        ("both at once", {"mode": "forced", "allowed": ("get_time",)}, ["get_time", "get_time"]),
    ],
)
def test_tools_are_called_when_forced_named_or_asked_for(text, box, expected):
    assert names(text, **box) == expected


def test_results_are_answered_in_words_unless_a_call_is_forced():
    come = (Turn("assistant", "get_time {}"), Turn("tool", "noon", "get_time"))
    assert names("Use a tool", *come) == []
    assert names("Use a tool", *come, mode="forced") == ["get_weather"]


def test_the_same_request_gives_the_same_calls_with_ids_of_their_own():
    first, second = (calls(TOOLS[:1] * 2, "Bonn", "s/0") for _ in range(2))
    assert first == second
    assert first[0].id != first[1].id
    assert msgspec.json.decode(first[0].arguments) == {"city": "Bonn"}


def test_every_result_is_quoted():
    results = [Turn("tool", "noon", "get_time"), Turn("tool", "21", "get_weather")]
    assert quoted(results) == "The tool get_time gave back: noon; the tool get_weather gave back: 21"


def test_a_call_breaks_in_its_schema_or_its_syntax():
    (call,) = calls(TOOLS[:1], "Bonn", "s/0")
    assert broken_call(call, TOOLS, in_syntax=False).arguments == "{}"
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(broken_call(call, TOOLS, in_syntax=True).arguments)
