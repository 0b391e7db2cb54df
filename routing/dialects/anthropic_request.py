"""A chat-completions request as Anthropic's `POST /v1/messages`; fields by the types of the `anthropic` SDK 2.13.0."""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.chat import Adaptation, ChatRequest
from routing.catalog import Model, Target
from routing.dialects.anthropic_blocks import Block, BlockWriter, begins_with_thoughts, is_in_tool_loop
from routing.dialects.anthropic_thinking import Setting, Thinking, fit_thinking
from routing.dialects.anthropic_tools import Tooling, ToolWriter
from routing.dialects.parts import Notes, Text, cannot, drop, note_stream_options, read_mark
from routing.dialects.toolkit import FIELDS, Toolkit
from routing.dialects.turns import ASSISTANT, SYSTEM, USER, Conversation, Turn

HANDLED = FIELDS | {
    "messages",
    "model",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "stream",
    "stream_options",
    "reasoning_effort",
    "thinking",
    "user",
    "safety_identifier",
    "service_tier",
    "cache_control",
}
"""Fields of the body that this module answers for; the rest is `routing.dialects.fields.leftovers`."""

DEFAULT_MAX_TOKENS = 4096
"""Where neither caller nor catalogue names a bound; plans reckon with the same (`eligibility.OUTPUT_TOKENS`)."""
MAX_USER_CHARS = 256
"""Of `metadata.user_id`, by the API's reference."""
TIERS = {"auto": None, "default": "standard_only", "standard_only": "standard_only"}
OPENING = "(The assistant speaks first.)"
FORCED = "the model can't think when it must call a tool"
PREFILLED = "the model can't think when its answer is begun for it"


def build(request: ChatRequest, conversation: Conversation, toolkit: Toolkit, target: Target) -> "Built":
    """The body and what was changed for it. Raises CannotCarry for what this wire or model has no form for."""
    return _Builder(request, target, _placed(conversation, target.model)).build(toolkit)


def _placed(conversation: Conversation, model: Model) -> Conversation:
    """Instructions in mid conversation stay where the model takes them: right behind the user, before the assistant."""
    roles = [turn.role for turn in conversation.turns]
    around = zip(["", *roles], roles, [*roles[1:], ASSISTANT], strict=False)
    is_taken = all((before, after) == (USER, ASSISTANT) for before, role, after in around if role == SYSTEM)
    return conversation if model.has_mid_system is True and is_taken else conversation.folded()


class Built(msgspec.Struct, frozen=True):
    """A body, ready to be encoded."""

    body: dict[str, Any]
    adaptations: tuple[Adaptation, ...]
    is_json_told: bool
    """The model is asked for JSON in words, so its answer may come in a code fence."""


class _Builder:
    def __init__(self, request: ChatRequest, target: Target, conversation: Conversation) -> None:
        self._conversation = conversation
        self._body: Mapping[str, Any] = request.body
        self._request = request
        self._model: Model = target.model
        self._notes: Notes = list(conversation.adaptations)
        self._made: dict[str, Any] = {"model": target.deployment.upstream, "max_tokens": self._max_tokens()}
        self._writer = BlockWriter(target.model, self._notes)

    def build(self, toolkit: Toolkit) -> Built:
        tooling = ToolWriter(self._model, self._writer, self._notes).write(toolkit, self._conversation.calls)
        systems, turns = self._opened()
        system = self._writer.texts(systems)
        if tooling.instruction is not None:
            system.append({"type": "text", "text": tooling.instruction})
        messages = [self._writer.message(turn) for turn in turns]
        messages = [message for message in messages if message["content"]]
        has_prefill = self._prefill(messages, turns, tooling)
        thinking = self._thinking(messages, tooling, has_prefill=has_prefill)
        self._made |= {"system": system} if system else {}
        self._made["messages"] = messages
        self._put_tools(tooling, thinking)
        self._put_sampling(thinking)
        self._put_rest()
        if (automatic := self._writer.set_marks(read_mark(self._body, "", self._notes), messages)) is not None:
            self._made["cache_control"] = automatic
        return Built(self._made, tuple(self._notes), is_json_told=tooling.instruction is not None)

    def _max_tokens(self) -> int:
        asked, limit = self._request.max_output_tokens, self._model.max_output_tokens
        legacy, field = self._body.get("max_tokens"), "max_completion_tokens"
        if self._body.get(field) is None:
            field = "max_tokens"
        elif legacy is not None and legacy != asked:
            drop(self._notes, "max_tokens", "max_completion_tokens says the same")
        if asked is None:
            if limit is None:
                reason = f"this wire demands a bound: {DEFAULT_MAX_TOKENS}"
                self._notes.append(Adaptation("max_tokens", "added", reason))
            return limit or DEFAULT_MAX_TOKENS
        if limit is not None and asked > limit:
            self._notes.append(Adaptation(field, "changed", f"the model makes {limit} tokens at most"))
            return limit
        return asked

    def _opened(self) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
        """System texts and turns, of which the first is the user's, as the wire demands."""
        systems, turns = self._conversation.systems, self._conversation.turns
        if not turns:
            if not systems:
                cannot("messages", "there is nothing in them but white space")
            for part in systems:
                self._notes.append(Adaptation(part.field, "changed", "this wire wants a user's message: it became one"))
            return (), (Turn(USER, systems),)
        if turns[0].role == ASSISTANT:
            reason = "this wire wants the user to speak first: a message that says so was put in front"
            self._notes.append(Adaptation("messages[0]", "added", reason))
            return systems, (Turn(USER, (Text(OPENING, "messages[0]"),)), *turns)
        return systems, turns

    def _prefill(self, messages: list[Block], turns: tuple[Turn, ...], tooling: Tooling) -> bool:
        """Whether the conversation ends with words to go on from; takes the white space off their end."""
        if not messages or messages[-1]["role"] != ASSISTANT:
            return False
        last = turns[-1].parts[-1]
        if self._model.has_prefill is False:
            cannot(last.field, "the model does not go on from an answer that was begun for it")
        if tooling.format is not None or tooling.is_forced:
            cannot(last.field, "an answer can't be begun for the model when its form is fixed")
        block = messages[-1]["content"][-1]
        if block["type"] == "text" and block["text"] != block["text"].rstrip():
            block["text"] = block["text"].rstrip()
            self._notes.append(Adaptation(last.field, "changed", "this wire takes no white space at the end here"))
        return True

    def _thinking(self, messages: list[Block], tooling: Tooling, *, has_prefill: bool) -> Thinking:
        obstacle = FORCED if tooling.is_forced else PREFILLED if has_prefill else None
        loose = None
        if is_in_tool_loop(messages) and not begins_with_thoughts(messages[-2]):
            loose = "the thoughts before the last tool call did not come back, and the model demands them"
        setting = Setting(self._made["max_tokens"], obstacle, loose)
        return fit_thinking(self._body, self._model, setting, self._notes)

    def _put_tools(self, tooling: Tooling, thinking: Thinking) -> None:
        if tooling.tools:
            self._made["tools"] = list(tooling.tools)
        if tooling.choice is not None:
            self._made["tool_choice"] = tooling.choice
        if thinking.config is not None:
            self._made["thinking"] = thinking.config
        output = {"format": tooling.format, "effort": thinking.effort}
        if output := {key: value for key, value in output.items() if value is not None}:
            self._made["output_config"] = output

    def _put_sampling(self, thinking: Thinking) -> None:
        """Temperature 0..1 or else top_p, and top_k; the SDK left them out when 4.7 began to refuse them."""
        given = {key: self._body.get(key) for key in ("temperature", "top_p", "top_k")}
        given = {key: value for key, value in given.items() if value is not None and (key, value) not in _DEFAULTS}
        if not given:
            return
        obstacle = "the model takes no sampling parameters" if self._model.has_sampling is False else None
        if thinking.is_on:
            obstacle = "the model takes no sampling parameters while it thinks"
        if obstacle is None and {"temperature", "top_p"} <= given.keys():
            drop(self._notes, "top_p", "this wire takes only one of temperature and top_p")
            del given["top_p"]
        for key, value in given.items():
            if obstacle is not None:
                drop(self._notes, key, obstacle)
            elif key == "temperature" and isinstance(value, int | float) and value > 1:
                self._notes.append(Adaptation(key, "changed", "this wire's temperatures end at 1"))
                self._made[key] = 1.0
            else:
                self._made[key] = value

    def _put_rest(self) -> None:
        stops = self._stops()
        if stops:
            self._made["stop_sequences"] = stops
        self._put_user()
        self._put_tier()
        self._put_stream()

    def _put_stream(self) -> None:
        if not self._request.wants_stream:
            return
        self._made["stream"] = True
        note_stream_options(self._body.get("stream_options"), self._notes)

    def _stops(self) -> list[str]:
        given = self._body.get("stop")
        listed = given if isinstance(given, list) else [given] if given is not None else []
        kept = []
        for place, stop in enumerate(listed):
            if isinstance(stop, str) and stop.strip():
                kept.append(stop)
            else:
                field = f"stop[{place}]" if isinstance(given, list) else "stop"
                drop(self._notes, field, "this wire stops at no white space alone")
        return kept

    def _put_user(self) -> None:
        for key in ("user", "safety_identifier"):
            value = self._body.get(key)
            if value is None:
                continue
            if "metadata" in self._made:
                if value != self._made["metadata"]["user_id"]:
                    drop(self._notes, key, "this wire knows one id of a user")
            elif not isinstance(value, str) or len(value) > MAX_USER_CHARS:
                drop(self._notes, key, f"an id of a user has {MAX_USER_CHARS} characters at most here")
            else:
                self._made["metadata"] = {"user_id": value}

    def _put_tier(self) -> None:
        tier = self._body.get("service_tier")
        if tier is None:
            return
        if not isinstance(tier, str) or tier not in TIERS:
            drop(self._notes, "service_tier", "this wire knows no tier of that name; capacity is bought apart")
        elif TIERS[tier] is not None:
            self._made["service_tier"] = TIERS[tier]


_DEFAULTS = (("temperature", 1), ("top_p", 1))
"""Anthropic's own, and OpenAI's: sending them or not is the same, and the newest models refuse to be sent any."""
