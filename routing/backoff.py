"""How long to wait before a call is made again: an exponential curve, and the jitter that spreads the herd.

"Full jitter" of Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: the wait is drawn evenly
from nought to the curve. The curve is its own function, so that it can be tested without chance.
"""

BASE_S = 0.5
CAP_S = 20.0
_DOUBLINGS_TO_CAP = 6
"""0.5 s doubled six times is 32 s, past the cap: more doublings change nothing and would overflow a float."""


def curve(attempt: int, slowness: float = 1.0) -> float:
    """The longest wait in seconds after the given number of failed calls (1 is the first failure).

    `slowness` stretches it for failures that need longer to pass (an overloaded provider); the cap holds all the same.

    >>> [curve(attempt) for attempt in (1, 2, 3, 9)]
    [0.5, 1.0, 2.0, 20.0]
    """
    doublings = min(max(attempt - 1, 0), _DOUBLINGS_TO_CAP)
    return float(min(CAP_S, BASE_S * slowness * 2**doublings))


def jitter(longest_s: float, chance: float) -> float:
    """The wait itself, in seconds: an even draw below `longest_s`, with `chance` from 0 to 1.

    >>> jitter(4.0, 0.25)
    1.0
    """
    return longest_s * min(max(0.0, chance), 1.0)
