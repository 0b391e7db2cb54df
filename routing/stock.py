"""How many released jobs a lane should hold for its workers: what they claim in half a second, and no more.

What is released waits in Redis in its order, so whoever comes later waits behind it: a stock that is too deep undoes
fairness, one that is too shallow lets workers run dry between two turns of the dispatcher.
"""

WORTH_S = 0.5
"""A stock lasts so long at the pace of the last refill; it is refilled when half of it is gone."""
HALF_LIFE_S = 5.0
"""A stock that is too deep for the pace is halved in this time: one slow moment does not empty it."""


def stock_for(stock: int, claimed: int, elapsed_s: float, *, ran_dry: bool) -> int:
    """The next stock in jobs, after workers claimed that many of the last one in `elapsed_s` seconds.

    A lane that ran dry shows no pace, only that more would have been claimed: its stock is doubled.

    >>> stock_for(64, 64, 0.02, ran_dry=True), stock_for(450, 225, 0.25, ran_dry=False)
    (128, 450)
    """
    if ran_dry:
        return 2 * stock
    worth = claimed / max(elapsed_s, 0.001) * WORTH_S
    kept: float = stock * 0.5 ** (elapsed_s / HALF_LIFE_S)
    return round(max(worth, kept))
