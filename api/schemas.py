"""What a caller may send: the envelope around a chat-completions body, and OpenAI's batch line."""

import datetime as dt
import difflib
import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from api.problems import Code, Problem
from jobs.chat import ChatRequest, InvalidRequest
from jobs.lanes import Lane
from jobs.policy import Intent, Requirements

MAX_BUDGET_USD = Decimal(1_000_000)
MONEY_DECIMALS = 12
MAX_LATENCY_MS = 86_400_000
Name = Annotated[str, Meta(min_length=1, max_length=200)]
LaneName = Literal["interactive", "standard", "bulk"]


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A job to submit. `request` is an OpenAI chat-completions body, whole; everything beside it is optional."""

    request: msgspec.Raw
    task: Name | None = None
    lane: LaneName | None = None
    policy: Name | None = None
    intent: Intent | None = None
    deadline: Annotated[dt.datetime, Meta(tz=True)] | None = None
    strict: bool = False
    custom_id: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    webhook: Annotated[str, Meta(max_length=64)] | None = None
    metadata: (
        Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
        | None
    ) = None


class BatchLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of an OpenAI batch file."""

    custom_id: Annotated[str, Meta(min_length=1, max_length=512)]
    method: Literal["POST"]
    url: Literal["/v1/chat/completions"]
    body: msgspec.Raw


class Wish(msgspec.Struct, frozen=True):
    """A submission as read: the envelope, and its request checked. Nothing of it has been judged."""

    envelope: Envelope
    request: ChatRequest


_envelopes = msgspec.json.Decoder(Envelope)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<path>[^`]*)`)?")
_WRONG = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`", re.DOTALL)
_FIELDS: dict[str, tuple[str, ...]] = {
    "": Envelope.__struct_fields__,
    "intent": Intent.__struct_fields__,
    "intent.require": Requirements.__struct_fields__,
}


def read_wish(raw: bytes, tree: object) -> Wish:
    """Read one submission; `tree` is its `strict_json`. Raises Problem with the field and a remedy."""
    if not isinstance(tree, dict):
        raise Problem(Code.INVALID_VALUE, 'send a JSON object: {"request": {"model": ..., "messages": [...]}}')
    _check_first_steps(tree)
    return wish_of(envelope_of(raw), tree["request"])


def wish_of(envelope: Envelope, body: object) -> Wish:
    """The wish of an envelope; `body` is its request, parsed. Raises Problem with the field and a remedy."""
    check_texts(envelope)
    if envelope.intent is not None:
        check_intent(envelope.intent)
    try:
        request = ChatRequest.of(bytes(envelope.request), body)
    except InvalidRequest as error:
        param = f"request.{error.param}" if error.param else "request"
        raise Problem(Code.INVALID_VALUE, f"request: {error.message}", param) from error
    if len(request.model) > 200 or "\0" in request.model:
        raise Problem(Code.INVALID_VALUE, "request.model: a name has at most 200 characters, no NUL", "request.model")
    return Wish(envelope, request)


def envelope_of(raw: bytes) -> Envelope:
    """An envelope as it was sent. Raises Problem with the field and a remedy."""
    envelope: Envelope = decoded(_envelopes, raw, _FIELDS)
    return envelope


def is_amount(text: str) -> bool:
    """Whether a text is an amount in USD as the record can hold it."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return False
    return "_" not in text and _is_sound(amount)  # Python's own spelling of 1000 as 1_000 is nobody else's


def _is_sound(amount: Decimal) -> bool:
    is_in_range = amount.is_finite() and 0 <= amount <= MAX_BUDGET_USD
    exponent = amount.as_tuple().exponent
    # From above, too: 0E+99999999 is 0, and yet more than Postgres reads.
    return is_in_range and -MONEY_DECIMALS <= int(exponent) <= MAX_BUDGET_USD.adjusted()


def check_intent(intent: Intent) -> None:
    """Refuse wishes that are no amounts. Raises Problem."""
    cost = intent.max_cost_usd
    if cost is not None and not _is_sound(cost):
        message = f"must be from 0 to {MAX_BUDGET_USD} USD with at most {MONEY_DECIMALS} decimals"
        raise _wrong("intent.max_cost_usd", message)
    if intent.max_latency_ms is not None and not 1 <= intent.max_latency_ms <= MAX_LATENCY_MS:
        raise _wrong("intent.max_latency_ms", f"must be a whole number from 1 to {MAX_LATENCY_MS}")
    if intent.min_accuracy is not None and not 0 <= intent.min_accuracy <= 1:
        raise _wrong("intent.min_accuracy", "must be a number from 0 to 1")
    region = intent.require.region
    if region is not None and ("\0" in region or not 1 <= len(region) <= 50):
        raise _wrong("intent.require.region", "must be 1 to 50 characters")


def moment_of(name: str, text: str) -> dt.datetime:
    """A time given as a query parameter. Raises Problem."""
    try:
        moment: dt.datetime = msgspec.convert(text, Annotated[dt.datetime, Meta(tz=True)])
    except msgspec.ValidationError as error:
        raise _wrong(name, "must be a time with its zone, like 2026-12-01T00:00:00Z") from error
    return moment


def check_deadline(deadline: dt.datetime, now: dt.datetime, retention_days: int) -> None:
    """A deadline lies ahead, and before the prompt would be dropped. Raises Problem."""
    if deadline <= now:
        raise _wrong("deadline", "has passed; leave it out for the lane's own, or name a later time")
    if deadline - now > dt.timedelta(days=max(retention_days - 1, 1)):
        raise _wrong("deadline", f"must be at most {max(retention_days - 1, 1)} days ahead: prompts are dropped then")


def lane_of(name: str | None, default: Lane) -> Lane:
    """The lane of a checked name."""
    return Lane(name) if name is not None else default


def _check_first_steps(tree: dict[str, Any]) -> None:
    """The two mistakes of a first call, each with its own sentence."""
    if "request" not in tree and "messages" in tree:
        message = 'put the chat-completions body under "request": {"request": {"model": ..., "messages": [...]}}'
        raise Problem(Code.MISSING_FIELD, message, "request")
    if "request" not in tree and "body" in tree:
        message = "OpenAI batch lines go to POST /v1/jobs/bulk; here the body is named `request`"
        raise Problem(Code.MISSING_FIELD, message, "request")


def check_texts(envelope: Envelope) -> None:
    """Refuse what the record cannot hold. Raises Problem."""
    metadata = envelope.metadata or {}
    texts = {"task": envelope.task, "policy": envelope.policy, "custom_id": envelope.custom_id}
    texts |= {"metadata": "".join(metadata) + "".join(metadata.values())}
    for param, text in texts.items():
        if text is not None and "\0" in text:
            raise _wrong(param, "must not contain the character NUL")


def decoded(decoder: "msgspec.json.Decoder[Any]", raw: bytes, known: dict[str, tuple[str, ...]]) -> Any:
    """What the decoder reads; `known` are the fields by path, for hints. Raises Problem with the field and a remedy."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _explained(str(error), known, decoder.type) from error


def _explained(text: str, known: dict[str, tuple[str, ...]], kind: Any) -> Problem:
    """Turn msgspec's sentence into a problem: the field, and the nearest known name or the words allowed there."""
    if found := _UNKNOWN.match(text):
        path = found["path"] or ""
        names = known.get(path, ())
        near = difflib.get_close_matches(found["field"][:100], names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names)}"
        param = f"{path}.{found['field']}" if path else found["field"]
        return Problem(Code.UNKNOWN_FIELD, f"{param[:200]}: unknown field; {hint}", param[:200])
    if found := _MISSING.match(text):
        param = f"{found['path']}.{found['field']}" if found["path"] else found["field"]
        return Problem(Code.MISSING_FIELD, f"{param}: this field is required", param)
    if found := _WRONG.match(text):
        allowed = _allowed(kind, found["path"]) if "enum" in found["what"] else ""
        return Problem(Code.INVALID_VALUE, f"{found['path']}: {found['what']}{allowed}", found["path"])
    return Problem(Code.INVALID_VALUE, text)


def _allowed(kind: Any, path: str) -> str:
    """The words that may stand at a path, to be added to a message; empty when the type does not list them."""
    schema = msgspec.json.schema(kind)
    named = schema.get("$defs", {})
    here = [schema]
    for step in [None, *re.findall(r"\w+|\[", path), None]:
        open_ = [part for one in here for part in (one, *one.get("anyOf", ()))]
        here = [named[part["$ref"].rpartition("/")[2]] if "$ref" in part else part for part in open_]
        if step is not None:
            inside = [part.get("items") if step == "[" else part.get("properties", {}).get(step) for part in here]
            here = [part for part in inside if isinstance(part, dict)] or here
    words = [str(word) for part in here for word in part.get("enum", ()) if word is not None]
    return f"; one of {', '.join(words)}" if words else ""


def _wrong(param: str, what: str) -> Problem:
    return Problem(Code.INVALID_VALUE, f"{param}: {what}", param)
