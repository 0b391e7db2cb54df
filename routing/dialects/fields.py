"""Fields of a chat-completions body that a wire has no place for: left out with a note, or a reason not to send."""

from collections.abc import Collection, Mapping
from typing import Any

from jobs.chat import Adaptation
from routing.dialects.base import Unsupported

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "store": (False,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "modalities": (["text"],),
    "service_tier": ("auto",),
    "stop": ([],),
}
"""Values that ask for nothing, as OpenAI's reference defines them: leaving them out changes nothing, so no note.

They matter because clients send them unasked, and `strict` must not refuse a request for them."""

ESSENTIAL: dict[str, str] = {
    "n": "this wire gives one answer to a call; submit one job for each",
    "modalities": "this wire answers in text only",
    "web_search_options": "this wire has no web search of OpenAI's kind",
}
"""Without these the answer would be another one: they are not left out, another candidate has to carry them."""

WHY: dict[str, str] = {
    "seed": "this wire has no seed: answers are not repeatable",
    "logprobs": "this wire gives no log-probabilities",
    "top_logprobs": "this wire gives no log-probabilities",
    "logit_bias": "this wire has no bias on tokens, and its tokens are others",
    "audio": "this wire answers in text only",
    "store": "this wire keeps no completions to be fetched later",
    "cache_control": "this wire keeps the beginnings of prompts by itself, and takes no marks for it",
    "stream_options": "this wire has no such option of its streams",
}
UNPLACED = "this wire has no place for it"
_EMPTY: tuple[Any, ...] = ([], {})


def leftovers(body: Mapping[str, Any], handled: Collection[str]) -> tuple[Adaptation, ...] | Unsupported:
    """A note for each field that the dialect does not handle itself and that asks for something.

    `handled` are the fields that the dialect answers for, `routing.dialects.toolkit.FIELDS` among them. Unsupported for
    the first whose leaving out would change what was asked (`n` above 1, sound as output, a web search).
    """
    notes: list[Adaptation] = []
    for key, value in body.items():
        if key in handled or value is None or value in NEUTRAL.get(key, ()):
            continue
        if key in ESSENTIAL:
            return Unsupported(key, ESSENTIAL[key])
        if value in _EMPTY:
            continue
        notes.append(Adaptation(key, "dropped", WHY.get(key, UNPLACED)))
    return tuple(notes)
