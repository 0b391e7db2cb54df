"""How much a Gemini model shall think: `reasoning_effort` as a level (3 and later) or as a budget in tokens (2.5)."""

from collections.abc import Mapping
from typing import Any

from jobs.chat import Adaptation
from routing.catalog import Model
from routing.dialects.gemini_models import BUDGETS_TOKENS, LEVELS, Family, levels_of
from routing.dialects.parts import Notes, drop

FIELD = "reasoning_effort"


def thinking_config(body: Mapping[str, Any], model: Model, family: Family, notes: Notes) -> dict[str, Any] | None:
    """`thinkingConfig` for an effort; None when the caller asked for none. Thoughts are shown when they were asked for.

    Models without thoughts refuse the field, so an effort is left out with a note there.
    """
    effort = body.get(FIELD)
    if effort is None:
        return None
    is_known = isinstance(effort, str) and (effort in BUDGETS_TOKENS or effort == "none")
    if not is_known:
        drop(notes, FIELD, "it is no effort that this wire knows")
        return None
    if model.has_reasoning is False or family.thinking == "none":
        if effort != "none" or model.has_reasoning is not False:
            drop(notes, FIELD, "the model does not reason")
        return None
    if family.thinking == "budget":
        return _budget(effort, family, notes)
    return _level(effort, model, family, notes)


def _budget(effort: str, family: Family, notes: Notes) -> dict[str, Any]:
    wanted = BUDGETS_TOKENS.get(effort, 0)
    if wanted == 0 and family.can_be_thoughtless:
        return {"thinkingBudget": 0}
    budget = min(max(wanted, family.least_budget_tokens), family.most_budget_tokens)
    if effort in ("none", "minimal", "xhigh", "max"):
        told = "thinks at least a little" if effort == "none" else "knows no such effort"
        notes.append(Adaptation(FIELD, "changed", f"the model {told}: a budget of {budget} tokens"))
    return {"thinkingBudget": budget, "includeThoughts": effort != "none"}


def _level(effort: str, model: Model, family: Family, notes: Notes) -> dict[str, Any]:
    known = levels_of(model, family)
    level = _nearest(effort, known)
    if level != effort:
        notes.append(Adaptation(FIELD, "changed", f"the model knows no effort {effort}: {level}"))
    return {"thinkingLevel": level.upper(), "includeThoughts": effort != "none"}


def _nearest(effort: str, known: list[str]) -> str:
    """The model's level at or below the wanted one, else its least."""
    if effort == "none":
        return known[0]
    wanted = LEVELS.index(effort) if effort in LEVELS else len(LEVELS)
    below = [level for level in known if LEVELS.index(level) <= wanted]
    return below[-1] if below else known[0]
