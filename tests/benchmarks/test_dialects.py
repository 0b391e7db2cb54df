"""The bench of the dialects: what it measures, and that its bar can be missed."""

from benchmarks.dialects import MOST_US, REPLIES, VOICES, Cost, bars, conversation
from routing.dialects.registry import DIALECTS


def test_the_conversation_has_ten_messages_with_tools_and_their_results():
    body = conversation()
    assert len(body["messages"]) == 10
    assert [message["role"] for message in body["messages"]].count("tool") == 4
    assert len(body["tools"]) == 3


def test_every_dialect_is_measured():
    assert DIALECTS.keys() <= VOICES.keys() & REPLIES.keys()


def test_a_bar_is_missed_by_what_both_ways_cost_together():
    slow, quick = Cost("slow", MOST_US / 2, MOST_US / 2 + 1), Cost("quick", MOST_US / 2, 1.0)
    assert [bar.is_met for bar in bars([slow, quick])] == [False, True]
    assert "quick" in bars([quick])[0].line
