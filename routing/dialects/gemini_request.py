"""A chat-completions request as Gemini's generateContent; fields by the types of the `google-genai` SDK 3.6.1."""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.chat import Adaptation, ChatRequest
from routing.catalog import Model, Target
from routing.dialects.base import Asking
from routing.dialects.gemini_models import Family, family_of
from routing.dialects.gemini_parts import PartWriter
from routing.dialects.gemini_thinking import thinking_config
from routing.dialects.gemini_tools import Tooling, ToolWriter, declared
from routing.dialects.parts import Notes, Text, cannot, drop, note_stream_options
from routing.dialects.toolkit import FIELDS, Toolkit
from routing.dialects.turns import ASSISTANT, USER, Conversation, Turn

HANDLED = FIELDS | {
    "messages",
    "model",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "n",
    "logprobs",
    "top_logprobs",
    "stream",
    "stream_options",
    "reasoning_effort",
    "service_tier",
}
"""Fields of the body that this module answers for; the rest is `routing.dialects.fields.leftovers`."""

MOST_STOPS = 5
"""`stopSequences` by the API's reference."""
MOST_CHOICES = 8
"""`candidateCount`, as `MOST_STOPS`."""
MOST_LOGPROBS = 20
SEEDS = range(-(2**31), 2**31)
"""A seed is an int32 on this wire."""
TIERS = {"auto": None, "default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}
"""`serviceTier` by the SDK."""
OPENING = "(The assistant speaks first.)"
SAMPLING = {"temperature": "temperature", "top_p": "topP", "top_k": "topK"}
PENALTIES = {"presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty"}
_DEFAULTS = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""Gemini's own, and OpenAI's: sending them or not is the same, and some models refuse to be sent any."""


class Built(msgspec.Struct, frozen=True):
    """A body, ready to be encoded."""

    body: dict[str, Any]
    adaptations: tuple[Adaptation, ...]
    is_json_told: bool
    """The model is asked for JSON in words, so its answer may come in a code fence."""


def build(request: ChatRequest, conversation: Conversation, toolkit: Toolkit, target: Target, asking: Asking) -> Built:
    """The body and what was changed for it. Raises CannotCarry for what this wire or model has no form for."""
    return _Builder(request, target, conversation.folded(), asking).build(toolkit)


class _Builder:
    def __init__(self, request: ChatRequest, target: Target, conversation: Conversation, asking: Asking) -> None:
        self._request = request
        self._body: Mapping[str, Any] = request.body
        self._conversation = conversation
        self._asking = asking
        self._model: Model = target.model
        self._family: Family = family_of(target)
        self._notes: Notes = list(conversation.adaptations)
        self._writer = PartWriter(self._model, self._family, self._notes)
        self._config: dict[str, Any] = {}

    def build(self, toolkit: Toolkit) -> Built:
        tooling = ToolWriter(self._model, self._family, self._writer, self._notes).write(toolkit)
        systems, turns = self._opened(tooling)
        made: dict[str, Any] = {"contents": self._writer.contents(turns)}
        if not made["contents"]:
            cannot("messages", "nothing is left of them that this wire could carry")
        told = self._writer.texts(systems)
        if tooling.instruction is not None:
            told.append({"text": tooling.instruction})
        if told:
            made["systemInstruction"] = {"parts": told}
        self._put_length()
        self._put_sampling()
        self._put_seed()
        self._put_logprobs()
        self._put_rest(made)
        self._config |= tooling.form
        if self._config:
            made["generationConfig"] = self._config
        made |= declared(tooling)
        return Built(made, tuple(self._notes), is_json_told=tooling.instruction is not None)

    def _opened(self, tooling: Tooling) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
        """System texts and turns, of which the first is the user's."""
        systems, turns = self._conversation.systems, self._conversation.turns
        if not turns and not systems:
            cannot("messages", "there is nothing in them but white space")
        if not turns or (systems and not self._family.takes_system):
            for part in systems:
                self._notes.append(Adaptation(part.field, "changed", "it became words of the user's on this wire"))
            return (), _put_first(systems, turns)
        if tooling.instruction is not None and not self._family.takes_system:
            cannot("response_format", "the model takes no instructions that could tell it the form")
        if turns[0].role == ASSISTANT:
            reason = "this wire wants the user to speak first: a message that says so was put in front"
            self._notes.append(Adaptation("messages[0]", "added", reason))
            turns = _put_first((Text(OPENING, "messages[0]"),), turns)
        if self._model.has_prefill is False and turns[-1].role == ASSISTANT:
            cannot(turns[-1].parts[-1].field, "the model does not go on from an answer that was begun for it")
        return systems, turns

    def _put_length(self) -> None:
        asked, limit = self._request.max_output_tokens, self._model.max_output_tokens
        field = "max_completion_tokens" if self._body.get("max_completion_tokens") is not None else "max_tokens"
        legacy = self._body.get("max_tokens")
        if asked is None:
            return
        if field != "max_tokens" and legacy is not None and legacy != asked:
            drop(self._notes, "max_tokens", "max_completion_tokens says the same")
        if limit is not None and asked > limit:
            self._notes.append(Adaptation(field, "changed", f"the model makes {limit} tokens at most"))
            asked = limit
        self._config["maxOutputTokens"] = asked

    def _put_sampling(self) -> None:
        for key, name in (SAMPLING | PENALTIES).items():
            value = self._body.get(key)
            if value is None:
                continue
            obstacle = None
            if self._model.has_sampling is False:
                obstacle = "the model takes no sampling parameters"
            elif key in PENALTIES and not self._family.takes_penalties:
                obstacle = "the model takes no penalties"
            elif not isinstance(value, int | float) or isinstance(value, bool):
                obstacle = "it must be a number"
            if obstacle is None:
                self._config[name] = value
            elif value != _DEFAULTS.get(key):
                drop(self._notes, key, obstacle)

    def _put_seed(self) -> None:
        seed = self._body.get("seed")
        if seed is None:
            return
        if isinstance(seed, int) and not isinstance(seed, bool) and seed in SEEDS:
            self._config["seed"] = seed
        else:
            drop(self._notes, "seed", "a seed has 32 bits on this wire")

    def _put_logprobs(self) -> None:
        asked, top = self._request.wants_logprobs, self._body.get("top_logprobs")
        can = self._model.has_logprobs
        if not (self._family.takes_logprobs if can is None else can):
            for key in ("logprobs", "top_logprobs"):
                if self._body.get(key):
                    drop(self._notes, key, "the model gives no log-probabilities")
            return
        if not asked and self._asking.needs_logprobs:
            reason = "the policy judges the answer by its confidence"
            self._notes.append(Adaptation("logprobs", "added", reason))
        if asked or self._asking.needs_logprobs:
            self._config["responseLogprobs"] = True
        if not top:
            return
        if asked and isinstance(top, int) and not isinstance(top, bool) and 0 < top <= MOST_LOGPROBS:
            self._config["logprobs"] = top
        else:
            drop(self._notes, "top_logprobs", f"it needs logprobs, and goes to {MOST_LOGPROBS}")

    def _put_rest(self, made: dict[str, Any]) -> None:
        if self._request.choices > MOST_CHOICES:
            cannot("n", f"this wire gives {MOST_CHOICES} answers to a call at most; submit one job for each")
        if self._request.choices > 1:
            self._config["candidateCount"] = self._request.choices
        if stops := self._stops():
            self._config["stopSequences"] = stops
        thinking = thinking_config(self._body, self._model, self._family, self._notes)
        if thinking is not None:
            self._config["thinkingConfig"] = thinking
        self._put_tier(made)
        self._put_stream()

    def _put_tier(self, made: dict[str, Any]) -> None:
        tier = self._body.get("service_tier")
        if tier is None:
            return
        if not isinstance(tier, str) or tier not in TIERS:
            drop(self._notes, "service_tier", "this wire knows no tier of that name")
        elif TIERS[tier] is not None:
            made["serviceTier"] = TIERS[tier]

    def _put_stream(self) -> None:
        """The method says whether to stream; what is left are the options."""
        if self._request.wants_stream:
            note_stream_options(self._body.get("stream_options"), self._notes)

    def _stops(self) -> list[str]:
        given = self._body.get("stop")
        listed = given if isinstance(given, list) else [given] if given is not None else []
        kept: list[str] = []
        for place, stop in enumerate(listed):
            field = f"stop[{place}]" if isinstance(given, list) else "stop"
            if not isinstance(stop, str) or not stop:
                drop(self._notes, field, "a stop must be a text that is not empty")
            elif len(kept) == MOST_STOPS:
                drop(self._notes, field, f"this wire takes {MOST_STOPS} stops at most")
            else:
                kept.append(stop)
        return kept


def _put_first(texts: tuple[Text, ...], turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The texts as the user's first words."""
    if turns and turns[0].role == USER:
        results = tuple(texts) + turns[0].parts
        return (Turn(USER, results), *turns[1:])
    return (Turn(USER, texts), *turns)
