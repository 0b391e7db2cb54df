"""Measures a request's text for token estimates: counts of byte classes, at C speed, and what kind of text it is.

No tokenizer is asked. Tokens are nearly linear in a few counts (words, letters by script, digits, signs); the weights
here are the shipped guess, and `routing.learn` mends them for each deployment from the usage that providers report.
"""

from collections.abc import Mapping
from operator import mul
from typing import Any

import msgspec
from msgspec.structs import replace

from jobs.chat import ChatRequest
from routing.token_kinds import ASCII_CODES, CLASSES, CODES, TABLE, kind_of
from routing.token_weights import WEIGHTS

__all__ = ["COUNTS", "InputEstimate", "Measure", "dot", "estimate", "measured", "text_size"]

BYTES_PER_TOKEN_AT_LEAST = 2
"""For the bound: digits, code and dense scripts stay above it; only random bytes go below."""
MESSAGE_TOKENS = 8
"""Role and separators of one message, for the bound; chat templates take 3 to 7."""
IMAGE_TOKENS = 1_500
"""Flat, above the dearest image of OpenAI's tile scheme: 85 + 170 for each of at most 8 tiles."""
SCALAR_TEXT = "  false,"
"""A number, true or false inside a schema, with its comma, as text of the usual length."""
SCHEMA_FIELDS = ("tools", "functions", "response_format")
"""Parts of the body beside the messages that a provider puts in front of the model."""
GUESS_LOW, GUESS_HIGH = 0.8, 1.25
"""Band of the shipped guess: 9 of 10 counts of o200k and of Mistral's tekken lay within, over 24 kinds of text."""

COUNTS = ("messages", "tools", "words", "indents", "humps", "inside", *CLASSES)
"""What is counted: messages; 1 where tools are offered; words; double blanks; capitals after small letters; bytes
inside characters; then bytes by class."""

NO_OTHERS = (0,) * (len(CODES) - len(ASCII_CODES))


class Measure(msgspec.Struct, frozen=True):
    """What is known of a prompt without knowing who will read it."""

    counts: tuple[float, ...]
    """In the order of COUNTS."""
    kind: str
    """What kind of text it mostly is: a language, a script, code, json."""
    flat_tokens: int = 0
    """For images."""
    is_text: bool = True
    """Nothing else is in it, so that what it was billed teaches something."""


class InputEstimate(msgspec.Struct, frozen=True):
    """What a request will be billed as input, in tokens."""

    tokens: int
    """What to expect."""
    bound_tokens: int
    """What it will not exceed for natural text and code. A weakness: random bytes can; the ledger then says so."""
    has_images: bool
    high_tokens: int = 0
    """Upper edge of the band that holds 9 of 10 counts: what a window is measured by."""
    low_tokens: int = 0
    measure: Measure | None = None


def dot(weights: tuple[float, ...], counts: tuple[float, ...]) -> float:
    """Their products' sum: tokens."""
    return float(sum(map(mul, weights, counts)))


def estimate(request: ChatRequest) -> InputEstimate:
    """Tokens of the messages, tool definitions and answer schema, by the shipped weights. Never raises."""
    texts: list[str] = []
    images = strange = 0
    messages = request.messages
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            images += sum(map(_is_image, content))
            strange += sum(_read_part(part, texts) for part in content)
        if "tool_calls" in message:
            _read(message["tool_calls"], texts)
    for field in SCHEMA_FIELDS:
        if field in request.body:
            _read(request.body[field], texts)
    has_tools = bool(request.body.get("tools") or request.body.get("functions"))
    raw = "\n".join(texts).encode("utf-8", "surrogatepass")
    measure = measured(raw, len(messages), has_tools=has_tools)
    if strange:
        measure = replace(measure, flat_tokens=IMAGE_TOKENS * images, is_text=False)
    flat = MESSAGE_TOKENS * len(messages) + measure.flat_tokens
    bound = flat + -(-len(raw) // BYTES_PER_TOKEN_AT_LEAST)
    guess = measure.flat_tokens + max(len(messages), round(dot(WEIGHTS, measure.counts)))
    guess = min(guess, bound)
    return InputEstimate(
        tokens=guess,
        bound_tokens=bound,
        has_images=images > 0,
        high_tokens=min(bound, round(guess * GUESS_HIGH)),
        low_tokens=round(guess * GUESS_LOW),
        measure=measure,
    )


def high_tokens(request: ChatRequest) -> int:
    """What nineteen of twenty prompts like this stay below, by the shipped guess."""
    return estimate(request).high_tokens


def measured(raw: bytes, messages: int = 1, *, has_tools: bool = False) -> Measure:
    """The measure of a text in UTF-8. Some 30 microseconds for 1,000 bytes of English, less for other scripts."""
    classed = raw.translate(TABLE)
    found = (*map(classed.count, ASCII_CODES), *NO_OTHERS) if raw.isascii() else tuple(map(classed.count, CODES))
    counts = (
        messages,
        int(has_tools),
        len(raw.split()),
        raw.count(b"  "),
        classed.count(b"\x01\x02"),
        len(raw) - sum(found),
        *found,
    )
    return Measure(counts, kind_of(raw, found))


def text_size(value: Any) -> int:
    """UTF-8 bytes of all the text in a JSON value, keys included. Walks without recursion, so depth cannot hurt."""
    texts: list[str] = []
    _read(value, texts)
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def _read(value: Any, texts: list[str]) -> None:
    """All the text in a JSON value, keys included. Walks without recursion, so depth cannot hurt."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, Mapping):
            texts.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif item is not None:
            texts.append(SCALAR_TEXT)


def _is_image(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") in ("image_url", "input_image")


def _read_part(part: object, texts: list[str]) -> bool:
    """A content part: its text alone when it is text, nothing for an image, else everything in it.

    Whether it was anything but text.
    """
    if _is_image(part):
        return True
    text = part.get("text") if isinstance(part, dict) else None
    if isinstance(text, str):
        texts.append(text)
        return False
    _read(part, texts)
    return True
