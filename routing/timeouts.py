"""The four clocks of a call, cut to the time that the job has left."""

import msgspec

CONNECT_S = 5.0
"""A connection that takes longer is taken for unreachable: nothing was sent, nothing can be billed."""
FIRST_BYTE_S = 60.0
"""For streams only, whose first byte is a header or the first token. A whole answer's first byte comes when it is
finished, so there the total is the clock."""
IDLE_S = 30.0
"""Between two reads; of pieces without content `workers.clocks.TOKENS_S` takes care."""


class Clocks(msgspec.Struct, frozen=True):
    """Four durations in seconds, each at most the total."""

    connect_s: float
    first_byte_s: float
    """Request sent to first byte of the reply."""
    idle_s: float
    """Longest silence after the first byte."""
    total_s: float
    """First byte sent to last byte read."""


def clocks(timeout_s: float, time_left_s: float, *, is_stream: bool) -> Clocks | None:
    """Clocks of one call from the policy's `timeout_s` and the time left to the deadline; None when none is left.

    >>> clocks(120.0, 3.0, is_stream=False)
    Clocks(connect_s=3.0, first_byte_s=3.0, idle_s=3.0, total_s=3.0)
    """
    total_s = min(time_left_s, timeout_s)
    if not total_s > 0:  # so written, and in this order above, that a NaN gives None too
        return None
    return Clocks(
        connect_s=min(CONNECT_S, total_s),
        first_byte_s=min(FIRST_BYTE_S, total_s) if is_stream else total_s,
        idle_s=min(IDLE_S, total_s),
        total_s=total_s,
    )
