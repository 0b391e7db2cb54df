"""Money, spans and shares as the page writes them."""

import doctest

from api.page import plots, words


def test_the_examples_in_the_docstrings_hold():
    for module in (words, plots):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0
