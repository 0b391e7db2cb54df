"""Our fields where they ride in a chat-completions body: beside OpenAI's own, at its top.

They are taken out before the body becomes a job's request; the rest of it stays as it was sent, byte for byte.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from api.bodies import strict_json
from api.problems import Code, Problem
from api.schemas import BatchLine, Envelope, Wish, check_texts, decoded, envelope_of, read_wish, wish_of

OF_A_LINE = ("task", "policy", "intent", "strict")
"""What may ride in the body of a batch line, and `metadata`."""
NOT_OF_A_LINE = {
    "lane": "a batch has one for all its lines",
    "deadline": "a batch has one for all its lines",
    "webhook": "a batch has one for all its lines",
    "custom_id": "stands beside the body",
}
_batch_lines = msgspec.json.Decoder(BatchLine)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EMPTY = msgspec.Raw(b"{}")


def read_ridden(raw: bytes, tree: dict[str, Any], names: Collection[str], given: Mapping[str, Any]) -> Wish:
    """The wish of a body in which fields of these names (and `metadata`) may ride. Raises Problem.

    `tree` is the body, parsed; what is taken out is taken out there, too. `given` came by another way, and the body's
    own wins over it. Metadata stays where the provider shall store the answer: it stores that along.
    """
    taken = [name for name in (*names, "metadata") if name in tree]
    if not taken and not given:
        return wish_of(Envelope(request=msgspec.Raw(raw)), tree)
    fields = _fields.decode(raw)
    riding = {name: fields[name] for name in taken}
    envelope = envelope_of(msgspec.json.encode({**given, **riding, "request": _EMPTY}))
    for name in taken:
        if name != "metadata" or not tree.get("store"):
            del fields[name], tree[name]
    request = msgspec.Raw(msgspec.json.encode(fields))
    return wish_of(msgspec.structs.replace(envelope, request=request), tree)


def read_line(raw: bytes) -> Wish:
    """A line of a bulk submit: a job as it is submitted alone, or OpenAI's batch line. Raises Problem."""
    tree = strict_json(raw)
    if not isinstance(tree, dict) or "body" not in tree or "request" in tree:
        return read_wish(raw, tree)
    line: BatchLine = decoded(_batch_lines, raw, {"": BatchLine.__struct_fields__})
    body = tree["body"]
    if not isinstance(body, dict):
        return wish_of(Envelope(request=line.body, custom_id=line.custom_id), body)
    for name, why in NOT_OF_A_LINE.items():
        if name in body:
            raise Problem(Code.UNKNOWN_FIELD, f"body.{name}: {why}", f"body.{name}")
    wish = read_ridden(bytes(line.body), body, OF_A_LINE, {})
    envelope = msgspec.structs.replace(wish.envelope, custom_id=line.custom_id)
    check_texts(envelope)
    return msgspec.structs.replace(wish, envelope=envelope)
