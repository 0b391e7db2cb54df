"""How much a Claude model shall think: `reasoning_effort` as a budget in tokens, or as an effort of adaptive thinking.

Which of the two follows from the catalogue: models from 4.6 on think adaptively, and the same generation gave up
prefill; 4.5 and earlier take a budget only (Anthropic's page on adaptive thinking, as of 2026-11).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.chat import Adaptation
from routing.catalog import Model
from routing.dialects.parts import Notes, drop, drop_unknown

MIN_BUDGET_TOKENS = 1024
"""By the SDK's `ThinkingConfigEnabledParam`: at least this, and less than `max_tokens`."""
SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Of `max_tokens`, by effort, for models that take a budget: OpenRouter's figures (its page on reasoning tokens)."""
EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""`output_config.effort` by the SDK, least first."""
USUAL_EFFORTS = frozenset({"low", "medium", "high"})
"""What each model with an effort takes, where the catalogue does not say."""


_OWN_KEYS = frozenset({"type", "budget_tokens", "display"})


class Thinking(msgspec.Struct, frozen=True):
    """What goes into the body."""

    config: Mapping[str, Any] | None = None
    """`thinking`."""
    effort: str | None = None
    """`output_config.effort`."""

    @property
    def is_on(self) -> bool:
        """The model is told to think, which excludes sampling parameters, forced tools and prefill."""
        return self.config is not None and self.config["type"] != "disabled"


OFF = Thinking()
DISABLED = Thinking({"type": "disabled"})


class Setting(msgspec.Struct, frozen=True):
    """What the rest of the request leaves room for."""

    max_tokens: int
    obstacle: str | None = None
    """Why thinking is not possible at all; None when it is."""
    budget_obstacle: str | None = None
    """The same, for models that take a budget only."""


def is_adaptive(model: Model) -> bool:
    """The model decides itself how much to think, by its effort."""
    return model.has_prefill is not True and (bool(model.reasoning_efforts) or model.has_sampling is False)


def fit_thinking(body: Mapping[str, Any], model: Model, setting: Setting, notes: Notes) -> Thinking:
    """`reasoning_effort`, or Anthropic's own `thinking` where a caller wrote that, for this model."""
    own, effort = body.get("thinking"), body.get("reasoning_effort")
    field = "reasoning_effort" if effort is not None else "thinking"
    if own is not None and effort is not None:
        drop(notes, "thinking", "reasoning_effort says the same")
        own = None
    if own is None and effort is None:
        return OFF
    word: Any = effort if effort is not None else _word_of(own)
    if word == "none":
        return _off(model, field, notes)
    obstacle = _obstacle(word, model, setting)
    if obstacle is not None:
        off = DISABLED if setting.obstacle and is_adaptive(model) and _can_be_off(model) else OFF
        if effort is None or obstacle != setting.obstacle or not is_adaptive(model):
            drop(notes, field, obstacle)
            return off
        notes.append(Adaptation(field, "changed", f"{obstacle}: its effort goes for all that it writes"))
        return Thinking(off.config, _nearest(word, model, field, notes))
    shown = _shown(own, notes)
    if is_adaptive(model):
        if isinstance(own, Mapping) and own.get("budget_tokens") is not None:
            reason = "the model decides itself how much to think: it takes an effort, and no budget"
            notes.append(Adaptation("thinking.budget_tokens", "dropped", reason))
        return Thinking({"type": "adaptive", **shown}, _nearest(word, model, field, notes))
    return _budget(own, word, setting, notes, shown)


def _shown(own: Any, notes: Notes) -> dict[str, Any]:
    """How thoughts are to be shown, from a caller's own `thinking`; other keys beside its two are noted."""
    if not isinstance(own, Mapping):
        return {}
    drop_unknown(own, _OWN_KEYS, "thinking", notes)
    display = own.get("display")
    if display is None or display in ("summarized", "omitted"):
        return {} if display is None else {"display": display}
    drop(notes, "thinking.display", "it must be summarized or omitted")
    return {}


def _obstacle(word: Any, model: Model, setting: Setting) -> str | None:
    if not isinstance(word, str) or word not in SHARES:
        return "it is no effort that this wire knows"
    if model.has_reasoning is False:
        return "the model does not reason"
    return setting.obstacle or (None if is_adaptive(model) else setting.budget_obstacle)


def _word_of(own: Any) -> str | None:
    """The effort that comes nearest to a `thinking` object; its budget is used where the model takes one."""
    kind = own.get("type") if isinstance(own, Mapping) else None
    return {"enabled": "high", "adaptive": "high", "disabled": "none"}.get(kind) if isinstance(kind, str) else None


def _can_be_off(model: Model) -> bool:
    """Models with a budget think only when told to; of the others some always do, and refuse to be told not to."""
    return not is_adaptive(model) or model.reasoning_efforts is None or "none" in model.reasoning_efforts


def _off(model: Model, field: str, notes: Notes) -> Thinking:
    if _can_be_off(model):
        return DISABLED
    least = _nearest("low", model, field, [])
    notes.append(Adaptation(field, "changed", f"the model always thinks: effort {least}"))
    return Thinking({"type": "adaptive"}, least)


def _nearest(word: str, model: Model, field: str, notes: Notes) -> str:
    """The model's effort at or below the wanted one, else its least."""
    known = [effort for effort in EFFORTS if effort in (model.reasoning_efforts or USUAL_EFFORTS)]
    if word in known:
        return word
    wanted = EFFORTS.index(word) if word in EFFORTS else 0
    below = [effort for effort in known if EFFORTS.index(effort) <= wanted]
    nearest = below[-1] if below else (known or ["low"])[0]
    notes.append(Adaptation(field, "changed", f"the model knows no effort {word}: {nearest}"))
    return nearest


def _budget(own: Any, word: str, setting: Setting, notes: Notes, shown: Mapping[str, Any]) -> Thinking:
    room, field = setting.max_tokens - 1, "reasoning_effort" if own is None else "thinking"
    if room < MIN_BUDGET_TOKENS:
        drop(notes, field, f"thinking takes {MIN_BUDGET_TOKENS} tokens at least, and fewer may be made in all")
        return OFF
    told = own.get("budget_tokens") if isinstance(own, Mapping) else None
    wanted = told if isinstance(told, int) else int(setting.max_tokens * SHARES[word])
    budget = min(max(wanted, MIN_BUDGET_TOKENS), room)
    if own is not None and (told is None or budget != wanted):
        notes.append(Adaptation(field, "changed", f"a budget of {budget} tokens; {MIN_BUDGET_TOKENS} is the least"))
    return Thinking({"type": "enabled", "budget_tokens": budget, **shown})
