"""The table of moves is whole: every state is reached, terminal ones are not left."""

from jobs.states import MOVES, TERMINAL, State


def test_no_move_leaves_a_terminal_state_and_every_living_one_has_a_way_out():
    sources = {move.source for move in MOVES}
    assert sources == set(State) - set(TERMINAL)
    assert not any(state.is_terminal for state in sources)


def test_every_state_but_the_first_can_be_reached():
    assert {move.target for move in MOVES} == set(State)


def test_each_move_has_a_name_of_its_own():
    assert len({move.name for move in MOVES}) == len(MOVES)
