"""Draws docs/replies.md from the tables by which answers are read: ways of counting, and words for how they end."""

from routing.dialects.endings import UNKNOWN, WORDS, Word
from routing.dialects.openai_usage import WAYS
from routing.prices import KINDS

INTRO = """# How answers are read

Drawn by `python docs/draw.py` from the tables in the code (`routing/dialects/openai_usage.py`, `endings.py`); a test
holds this page to them. What a call is sent is on [its own page](dialects.md), what becomes of a bad answer in
[answers.md](answers.md).

## What was used, and what it costs

The ledger and the `usage` of the answer come from one reading of the provider's counts, so they always agree. Counts
that fit no known way of counting, or two of them, are **unknown**: `cost_usd` is null, `cost_bound_usd` says what the
call can have cost, the counts are kept as they came under `provider_fields` of the answer, and
`tokenyard_unpriced_calls_total` counts the call, which raises the alarm of a missing price. The cheaper of two readings
is never taken. Of several reports in one stream the one that counted furthest stands.

On the `openai` wire, and on all that speak it:"""

OTHERS = """On the `anthropic` wire `input_tokens` leave out what was read from or written to a cache, so the three are
summed; no count of a stream is ever lower than one before; rounds of `compaction` are added, rounds of another
model are unknown. On the `gemini` wire the total is prompt + tools' results + candidates + thoughts, or that without
the thoughts where they count among the candidates; one missing count follows from the others.

A price list has a price for each kind: {kinds} (`search` for a million searches, the others for a million tokens).
Where it has none for sound, pictures that were drawn, citations or searches, the cost of a call that used some is
unknown: [catalog.md](catalog.md).

## How an answer ended

One table of all makers' words. OpenAI's word is what the answer says; a word that tells more stays beside it under
`provider_fields`. A word that no table has is told as `{unknown}`: nobody knows whether the answer is whole, and a cut
answer must never look finished.

| the maker's word | means | source |
|---|---|---|"""

REST = """
## What a stream shows

* Chunks are shown as they come. Put together by the official clients' own helpers (`client.chat.completions.stream()`
  in Python and Node) they give the stored answer; `tests/routing/dialects/test_mutated_streams.py` tries it on streams
  whose events were repeated, emptied, moved, split, merged and lost.
* A role, and a call's id and name, are told once, whatever the provider repeats. The finish reasons, usage, and lists
  (`reasoning_details`, `annotations`, `images`) are told once, at the end, when it is known that the answer is whole.
  A stream that breaks off shows no end.
* Id, model, creation time, fingerprint and tier are those of the first chunk that has them, in every chunk.
* Pieces of two calls under one index are two calls where the names differ, the ids differ, or the arguments of the
  first are complete and new ones begin.
* An answer is whole when each choice has told how it ended, and `[DONE]` or usage came behind that; of providers that
  never send `[DONE]` (a fact of the accent) the finish reasons are enough. Anthropic's streams end with `message_stop`.

## Pictures, sound, and what OpenAI has no field for

* Pictures come as `message.images`:
  `[{"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}]` (OpenRouter's form), from Gemini's
  `inlineData` too. Sound comes as `message.audio`, with its format as `mime_type` where the provider tells one.
* What a provider says beyond OpenAI's types stands under `provider_fields`, in a stream in its last chunk with a
  choice: grounding, citations and safety ratings, blocks of the provider's own tools, costs, its own finish reason, and
  counts that could not be read.
"""


def page() -> str:
    """The page of replies."""
    ways = ["| what the provider counts | source |", "|---|---|", *[f"| {way.name} | {way.source} |" for way in WAYS]]
    words = [f"| `{word}` | {_meaning(known)} | {known.source} |" for word, known in sorted(WORDS.items())]
    kinds = ", ".join(f"`{kind}`" for kind in ("input", "output", *KINDS))
    lines = [INTRO, "", *ways, "", OTHERS.format(kinds=kinds, unknown=UNKNOWN.official), *words]
    return "\n".join([*lines, REST])


def _meaning(word: Word) -> str:
    return f"`{word.official}`" if word.fault is None else f"a failure: `{word.fault}`"
