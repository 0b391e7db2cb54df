"""Tokens have a clock of their own, which a line that is only kept alive does not set back."""

from workers.clocks import TOKENS_S, TokenClock


def test_it_runs_from_the_first_content_on_and_only_content_sets_it_back():
    now_s = 0.0
    tokens = TokenClock(lambda: now_s)
    now_s = 10 * TOKENS_S
    assert not tokens.is_over, "before the first token the total is the clock"
    tokens.came()
    now_s += TOKENS_S - 1
    assert not tokens.is_over
    tokens.came()
    now_s += TOKENS_S - 1
    assert not tokens.is_over
    now_s += 1
    assert tokens.is_over
