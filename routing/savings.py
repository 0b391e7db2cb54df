"""Estimates what routing saved: the same answers' tokens at each policy's dearest tier, less what all calls cost."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from jobs.chat import Usage
from jobs.policy import Policy
from routing.plan import UnknownName, Yard, policy_for


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What the jobs of one policy took: the tokens of their accepted answers, and the cost of all their calls."""

    policy: str
    answers: int
    input_tokens: int
    output_tokens: int
    spent_usd: Decimal
    """Rejected, failed and cut calls too; an unknown bill counts as the most it can be."""
    is_bounded: bool = True
    """False when a call has neither an amount nor a bound: nobody can say what was spent."""


class Savings(msgspec.Struct, frozen=True):
    """`usd` = `dear_usd` - `spent_usd`, over the answers that can be compared. It may be below 0."""

    dear_usd: Decimal
    """The answers' tokens at the prices of the dearest tiers."""
    spent_usd: Decimal
    answers: int
    left_out: int
    """Answers not compared: their policy is gone, its tiers have no price, or their bill is unbounded."""

    @property
    def usd(self) -> Decimal | None:
        """None when there are answers and none could be compared."""
        return None if self.left_out and not self.answers else self.dear_usd - self.spent_usd


def savings(bills: Iterable[Bill], policies: Mapping[str, Policy], yard: Yard) -> Savings:
    """Compare each policy's bill with asking its dearest tier once for each answer, at today's catalogue prices.

    A tier costs what its cheapest deployment does that is on and has a price, and a call of unknown cost counts as its
    bound: the estimate errs towards less. It assumes that the dear tier would have used as many tokens.
    """
    dear_usd = spent_usd = Decimal(0)
    answers = left_out = 0
    for bill in bills:
        price = dearest(bill, policies, yard) if bill.is_bounded else None
        if price is None:
            left_out += bill.answers
            continue
        dear_usd += price
        spent_usd += bill.spent_usd
        answers += bill.answers
    return Savings(dear_usd, spent_usd, answers, left_out)


def dearest(bill: Bill, policies: Mapping[str, Policy], yard: Yard) -> Decimal | None:
    """What the bill's tokens cost in the dearest tier of its policy; None when no tier has a price."""
    policy = policy_for(bill.policy, None, policies, yard.catalog)
    if isinstance(policy, UnknownName):
        return None
    usage = Usage(bill.input_tokens, bill.output_tokens)
    tiers: dict[int, Decimal] = {}
    for option in yard.lineup(policy).options:
        price = option.price
        cost = price.of(usage) if option.fault is None and price is not None else None
        if cost is not None:
            tiers[option.tier] = min(cost, tiers.get(option.tier, cost))
    return max(tiers.values(), default=None)
