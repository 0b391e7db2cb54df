"""Every maker's word for an end means on our side what it means there; a cut answer is never `stop`."""

import pytest

from jobs.failures import FailureKind
from routing.dialects.endings import WORDS, end_fault, meaning, told_end
from routing.dialects.openai_face import Finish
from tests.routing.dialects.wire import answered, chunk, sse, streamed

OFFICIAL = set(Finish.__args__)  # type: ignore[attr-defined]
TOLD = {
    "stop": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "COMPLETE": "stop",
    "MAX_TOKENS": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "incomplete": "length",
    "sensitive": "content_filter",
    "SAFETY": "content_filter",
    "refusal": "content_filter",
    "tool_use": "tool_calls",
    "TOOL_CALL": "tool_calls",
    "a word that nobody knows": "length",
}
FAULTS = {
    "abort": FailureKind.TRANSIENT,
    "network_error": FailureKind.TRANSIENT,
    "error": FailureKind.TRANSIENT,
    "insufficient_system_resource": FailureKind.OVERLOADED,
    "MALFORMED_FUNCTION_CALL": FailureKind.INVALID_ANSWER,
}


@pytest.mark.parametrize("word", TOLD)
def test_a_word_means_what_it_means_there(word):
    assert end_fault(word) is None
    assert told_end(word).official == TOLD[word]
    answer = answered(sse(chunk({"content": "Hi"}), chunk({}, choice={"finish_reason": word})))
    assert answer.finish_reason == TOLD[word]


@pytest.mark.parametrize("word", FAULTS)
def test_an_end_that_broke_the_answer_off_is_a_failure(word):
    fault = end_fault(word)
    assert fault is not None
    assert fault.kind is FAULTS[word]
    broken = streamed(sse(chunk({"content": "Hi"}), chunk({}, choice={"finish_reason": word})))
    assert broken == fault


@pytest.mark.parametrize("word", [None, "", "null", "None", 7])
def test_what_says_that_the_answer_goes_on_is_no_end(word):
    fault = end_fault(word)
    assert fault is not None
    assert fault.kind is FailureKind.TRUNCATED


@pytest.mark.parametrize("word", ["", "null"])
def test_words_for_no_end_in_pieces_before_the_last_are_shown_as_none(word):
    pieces = [chunk({"content": part}, choice={"finish_reason": word}) for part in ("H", "i")]
    answer = answered(sse(*pieces, chunk({}, choice={"finish_reason": "length"})))
    assert (answer.text, answer.finish_reason) == ("Hi", "length")


def test_every_word_has_a_source_and_is_an_answer_or_a_failure():
    for word, known in WORDS.items():
        assert word == word.lower()
        assert known.source
        assert (known.official in OFFICIAL) is (known.fault is None)


def test_only_words_that_say_so_end_a_whole_answer():
    whole = {word for word, known in WORDS.items() if known.official == "stop"}
    assert whole == {"stop", "end_turn", "stop_sequence", "complete", "eos_token", "eos"}


def test_an_unknown_word_is_kept_and_an_empty_answer_that_ends_so_is_empty():
    answer = answered(sse(chunk({"content": "Hi"}), chunk({}, choice={"finish_reason": "so_long"})))
    assert b'"finish_reason":"so_long"' in answer.body
    assert answered(sse(chunk({"role": "assistant"}), chunk({}, choice={"finish_reason": "so_long"}))).is_empty
    assert not meaning("so_long").is_sure
