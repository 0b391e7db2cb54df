"""How a bell's line looks to Celery's monitors."""

import pytest

from workers.tasks import BellFailed, told


@pytest.mark.parametrize(
    "line",
    ["9 succeeded, 1 deferred", "31 failed, 1 succeeded", "3 deferred", "1 moved on", "0 claimed", "2 cancelled"],
)
def test_a_bell_with_a_success_or_without_a_failure_is_a_success(line):
    assert told(line) == line


@pytest.mark.parametrize("line", ["1 failed", "3 failed, 2 deferred", "32 left to rescue"])
def test_a_bell_with_failures_and_no_success_is_a_failure_that_counts_them(line):
    with pytest.raises(BellFailed, match=line):
        told(line)
